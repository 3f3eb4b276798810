// The one instantiation of fmt's implementation. Distributions ship fmt and spdlog as shared
// libraries whose names change with every release; compiled in, they bind the packages to none.
#include <fmt/format-inl.h>

FMT_BEGIN_NAMESPACE
template FMT_API auto dragonbox::to_decimal(float x) noexcept -> dragonbox::decimal_fp<float>;
template FMT_API auto dragonbox::to_decimal(double x) noexcept -> dragonbox::decimal_fp<double>;
template FMT_API auto detail::thousands_sep_impl(locale_ref) -> thousands_sep_result<char>;
FMT_END_NAMESPACE

// The one instantiation of the TOML parser; every other file sees declarations only.
#define TOML_IMPLEMENTATION
#include "app/toml.hpp"

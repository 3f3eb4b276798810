#pragma once

#include "app/pipelines.hpp"
#include "core/stack/diagnostics.hpp"
#include "core/stack/registry.hpp"

namespace mqttstack {

/// Looks whether the members of a pipeline can do together what they are there
/// for: whether what they execute is answered, who decides is asked, a packet that
/// they look at reaches them, and whether there is one of what can be there only
/// once. Has each of them look for itself too (Middleware::validate()).
///
/// REQUIRES: every name of the pipeline is a member. One whose options are so wrong
/// that it could not be made may be missing in the stack; then less is looked at.
void checkPipeline(const Registry& registry, const Pipeline& pipeline, Diagnostics& diagnostics);

}  // namespace mqttstack

#include "middlewares/security/acl_rules.hpp"

#include <algorithm>
#include <set>

namespace mqttstack {

bool AclRules::Condition::holdsFor(const broker::Identity& who) const {
  const auto& groups = who.groups();
  return (!user || (!who.anonymous() && *user == who.principal())) &&
         (!group || std::find(groups.begin(), groups.end(), *group) != groups.end()) &&
         (!client || *client == who.clientId()) && (!listener || *listener == who.listener()) &&
         std::all_of(addresses.begin(), addresses.end(),
                     [&](const AddressRange& range) { return range.contains(who.address()); });
}

AclRules::Sections AclRules::sectionsFor(const broker::Identity& who) const {
  Sections sections;
  if (!trie_.isEmpty(everybody_)) sections.push_back(everybody_);
  const auto add = [&sections](const Trees& trees, std::string_view name) {
    if (const auto found = trees.find(name); found != trees.end())
      sections.push_back(found->second);
  };
  if (who.anonymous())
    sections.push_back(anonymous_);
  else
    add(users_, who.principal());
  for (const std::string& group : who.groups()) add(groups_, group);
  add(clients_, who.clientId());
  add(listeners_, who.listener());
  for (const Conditional& each : conditional_)
    if (each.condition.holdsFor(who)) sections.push_back(each.tree);
  return sections;
}

AclRules::Decision AclRules::decide(const Sections& sections, const broker::Identity& who,
                                    AclAccess access, std::string_view subject) const {
  if (access == AclAccess::subscribe)
    subject_.becomeFilter(subject);
  else
    subject_.becomeTopic(subject);
  AclTrie::Found found;
  for (const AclTrie::Tree tree : sections) trie_.find(tree, subject_, who, access, found);
  if (found.denied != 0) return {Outcome::denied, found.denied};
  if (found.allowed != 0) return {Outcome::allowed, found.allowed};
  return {};
}

AclRules::Reception AclRules::reception(const broker::Identity& who,
                                        std::string_view filter) const {
  const Sections sections = sectionsFor(who);
  subject_.becomeFilter(filter);
  AclTrie::Found found;
  for (const AclTrie::Tree tree : sections) {
    if (trie_.mayDeny(tree, filter, AclAccess::receive)) return Reception::mixed;
    trie_.find(tree, subject_, who, AclAccess::receive, found);
  }
  return found.allowed != 0 ? Reception::everything : Reception::undecided;
}

std::vector<std::string> AclRules::listenersNamed() const {
  std::set<std::string> names;
  for (const auto& [name, tree] : listeners_) names.insert(name);
  for (const Conditional& each : conditional_)
    if (each.condition.listener) names.insert(*each.condition.listener);
  return {names.begin(), names.end()};
}

}  // namespace mqttstack

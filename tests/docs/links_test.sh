#!/bin/bash
# Whatever a document links to in this tree is there.
set -euo pipefail
cd "${SOURCES:?}"
status=0
for document in *.md docs/*.md; do
  while read -r target; do
    [[ -e $(dirname "$document")/$target ]] && continue
    echo "FAILED: $document links to $target, which does not exist" >&2
    status=1
  done < <(awk '/^ *```/ { code = !code } !code' "$document" | grep -oE '\]\([^)#: ]+' | sed 's/^](//')
done
exit "$status"

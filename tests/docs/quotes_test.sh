#!/bin/bash
# A block of a document that names a file (```cpp file=PATH) stands in that file, letter by letter.
set -euo pipefail

quotes=0
wrong=0
for document in "$SOURCES"/README.md "$SOURCES"/docs/*.md; do
  path=
  while IFS= read -r line; do
    case $line in
      '```'*' file='*)
        path=${line##* file=}
        block=
        ;;
      '```')
        if [[ -n $path ]]; then
          quotes=$((quotes + 1))
          text=$(<"$SOURCES/$path")
          if [[ $text != *"${block%$'\n'}"* ]]; then
            printf '%s quotes what is not in %s:\n%s\n' "${document##*/}" "$path" "$block"
            wrong=$((wrong + 1))
          fi
        fi
        path=
        ;;
      *) [[ -z $path ]] || block+=$line$'\n' ;;
    esac
  done <"$document"
done

echo "$quotes quotes, $wrong of them wrong"
[[ $wrong == 0 && $quotes -gt 0 ]]

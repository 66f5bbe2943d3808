#!/bin/sh
# release.sh: builds a release, says what it costs every device in the field, stops if that is too much, publishes.
#
#     release.sh RELEASE.toml [--set KEY=VALUE]...
#
# Settings, by environment:
#     OUT         folder for the results; must not exist                         default: out
#     CATALOGUE   of earlier releases: a folder, or s3://BUCKET/PREFIX           default: none
#     CACHE       folder with a copy of it, which is brought up to date first; alone, where the
#                 catalogue is out of reach, it is taken as it is                default: none
#     MAX_BYTES   what a device of any earlier release may download, as 20M      default: no limit
#     LINK        rate and round trip for which times are told                   default: 10Mbit,100ms
#     TARGET      where devices fetch: a folder, or s3://BUCKET/PREFIX;
#                 empty: nothing is published, nothing is recorded               default: empty
#
# It ends with the status of the step that failed, after a line `ERROR: code: what is wrong`. Where that is
# MAX_BYTES, OUT has the build all the same, with its report and estimate.txt: they tell what became expensive.
# ([budget] in the release file refuses earlier, and then there is no OUT.)
set -eu

release=$1
shift
out=${OUT:-out}
catalogue=${CATALOGUE:-}
cache=${CACHE:-}
target=${TARGET:-}

if [ -e "$out" ]; then
    echo "ERROR: $out is there already" >&2
    exit 1
fi

# The same commit gives the same bytes: the time that is signed is the commit's.
if commit=$(git rev-parse --verify --quiet HEAD 2> /dev/null); then
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
    export SOURCE_DATE_EPOCH
    set -- "$@" --set "source-commit=\"$commit\""
fi

known=$catalogue
if [ -n "$cache" ]; then
    mkdir -p "$cache"
    [ -z "$catalogue" ] || otapack catalogue copy "$catalogue" "$cache"
    known=$cache
fi
case $known in
    "" | /* | s3://*) ;;
    *) known=$PWD/$known ;; # a path on the command line starts here, one in the file at the file
esac
[ -z "$known" ] || set -- "$@" --set "bases.catalogue=\"$known\""

otapack build "$release" -o "$out" "$@" > /dev/null # report.json has it all

status=0
set -- "$release" --built "$out" --link "${LINK:-10Mbit,100ms}" "$@"
otapack estimate "$@" ${MAX_BYTES:+--max-bytes "$MAX_BYTES"} > "$out/estimate.txt" || status=$?
cat "$out/estimate.txt"
[ "$status" -eq 0 ] || exit "$status"

[ -z "$target" ] || otapack publish "$out" "$target" ${catalogue:+--catalogue "$catalogue"}

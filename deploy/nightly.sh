#!/bin/sh
# The nightly job: explains each plate in LEIGH_PLATES that is not finished, then draws the trends over all nights.
# Started again after any failure, it continues: finished plates are left alone, begun ones resume.
# Exit codes: 0; 3 if the only fault of the night is that most fields of a plate failed, which a retry does not mend;
# 130 or 143 after a signal; otherwise that of the last plate that could not be finished, or of the trends.
#   LEIGH_MODEL    model, such as models:/leigh-iresnet@champion
#   LEIGH_PLATES   folder with one folder or image table (.parquet) for each plate
#   LEIGH_RESULTS  folder for the results, one for each plate, and for trends.html
set -u
: "${LEIGH_MODEL:?}" "${LEIGH_PLATES:?}" "${LEIGH_RESULTS:?}"
status=0
stopped=
child=

# In a pod this shell is the first process: signals reach it alone, and only if it handles them.
trap 'stopped=143; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM

run() {
  [ -z "$stopped" ] || exit "$stopped"
  "$@" &
  child=$!
  # A signal before the line above reached no command.
  [ -z "$stopped" ] || kill -TERM "$child" 2>/dev/null
  wait "$child"
  code=$?
  # A signal ends the wait, not the command, which now ends by itself.
  [ -z "$stopped" ] || { wait "$child"; exit "$stopped"; }
}

for plate in "$LEIGH_PLATES"/*; do
  [ -e "$plate" ] || continue
  out="$LEIGH_RESULTS/$(basename "$plate" .parquet)"
  if grep -qs '"finished": true' "$out/job.json"; then
    continue
  fi
  run python -m leigh_mlops.explain "$LEIGH_MODEL" --data "$plate" --out "$out"
  case $code in
    0) ;;
    130 | 143) exit $code ;;
    # The other plates do not wait, and what a retry can mend is not hidden.
    3) [ $status -ne 0 ] || status=3 ;;
    *) status=$code ;;
  esac
done
run python -m leigh_mlops.trends "$LEIGH_RESULTS"/*/ --html "$LEIGH_RESULTS/trends.html"
[ $code -eq 0 ] || status=$code
exit $status

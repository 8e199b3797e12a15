#!/bin/sh
# The nightly job: explains each plate in LEIGH_PLATES that is not finished, then draws the trends over all nights.
# Started again after any failure, it continues: finished plates are left alone, begun ones resume.
#   LEIGH_MODEL    model, such as models:/leigh-iresnet@champion
#   LEIGH_PLATES   folder with one folder or image table (.parquet) for each plate
#   LEIGH_RESULTS  folder for the results, one for each plate, and for trends.html
set -u
: "${LEIGH_MODEL:?}" "${LEIGH_PLATES:?}" "${LEIGH_RESULTS:?}"
status=0
for plate in "$LEIGH_PLATES"/*; do
  [ -e "$plate" ] || continue
  out="$LEIGH_RESULTS/$(basename "$plate" .parquet)"
  if grep -qs '"finished": true' "$out/job.json"; then
    continue
  fi
  python -m leigh_mlops.explain "$LEIGH_MODEL" --data "$plate" --out "$out"
  code=$?
  case $code in
    0) ;;
    # A signal ends the night; most fields of one plate failing (3) does not keep the others waiting.
    130 | 143) exit $code ;;
    *) status=$code ;;
  esac
done
python -m leigh_mlops.trends "$LEIGH_RESULTS"/*/ --html "$LEIGH_RESULTS/trends.html" || status=$?
exit $status

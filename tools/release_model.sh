#!/usr/bin/env bash
# Make a released model from its yaml: train, export, quantize, score.
#
#   bash tools/release_model.sh NAME DATA [RESULTS [CHECKPOINT]]
#
# NAME is a folder of models/, DATA the folder of edge16k. A finished results
# folder is used as it is; the best checkpoint unless one is named. The scores of every form,
# at several input levels, go to results/evaluation/release-<name>/.
set -euo pipefail
name=$1 data=$2 results=${3:-results/$1/1234} checkpoint=${4:-}
python=${PYTHON:-python} pairs=results/pairs
target=models/$name

"$python" train.py "$target/train.yaml" --data_folder "$data" \
  --output_folder "$results"
for split in train test; do
  [ -e "$pairs/mixed_${split}set.csv" ] && continue # of an earlier model
  "$python" make_pairs.py train.yaml --data_folder "$data" --split $split \
    --output_folder $pairs
done

"$python" export_onnx.py "$results" ${checkpoint:+--checkpoint "$checkpoint"} \
  --overwrite --output_folder "$target"
for precision in int8 int16x8; do
  "$python" quantize.py "$target/stream.onnx" --precision $precision \
    --calibration_folder $pairs/noisy_trainset_wav --overwrite
done
forms=("$target"/{offline,stream,stream_int8,stream_int16x8}.onnx)
if [ -e "$target/patch.onnx" ]; then # a recurrent network has none
  "$python" quantize.py "$target/patch.onnx" \
    --calibration_folder $pairs/noisy_trainset_wav --overwrite
  forms+=("$target/patch_int8.onnx")
  rm "$target/patch.onnx" # 2 MiB a model: export_onnx.py makes it again
fi

scored=$results${checkpoint:+/save/$checkpoint}
"$python" evaluate.py "$scored" --compare "${forms[@]}" \
  --noisy_folder $pairs/noisy_testset_wav \
  --clean_folder $pairs/clean_testset_wav \
  --output_folder "results/evaluation/release-$name"
for form in "$target/stream.onnx" "$target/stream_int8.onnx"; do
  "$python" evaluate.py "$form" --gain_db -20 -10 0 10 \
    --noisy_folder $pairs/noisy_testset_wav \
    --clean_folder $pairs/clean_testset_wav \
    --output_folder "results/evaluation/release-$name-$(basename "$form" .onnx)"
done

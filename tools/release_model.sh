#!/usr/bin/env bash
# Make a released model from its yaml: train, export, quantize, score.
#
#   bash tools/release_model.sh NAME "DATA [MORE]" [RESULTS [CHECKPOINT]]
#
# NAME is a folder of models/, DATA the folder of edge16k, MORE further folders
# to train on as well. A finished results folder is used as it is; the best
# checkpoint unless one is named. The scores of every form, on the hard test
# set (train.yaml) and the mild one (benchmarks/mild.yaml), and of the int8
# form at several input levels, go to results/evaluation/release-<name>*/.
# The variable TRAIN holds further words for train.py, FORMS for export_onnx.py,
# INT8 for quantize.py where it makes int8.
set -euo pipefail
read -ra folders <<<"$2"
name=$1 data=${folders[0]} results=${3:-results/$1/1234} checkpoint=${4:-}
python=${PYTHON:-python} pairs=results/pairs
target=models/$name
printf -v list '%s, ' "${folders[@]}"

"$python" train.py "$target/train.yaml" --data_folder "[${list%, }]" \
  --output_folder "$results" ${TRAIN:-}

mix() { # YAML SPLIT FOLDER: the mixtures, unless an earlier model left them
  [ -e "$3/mixed_$2set.csv" ] ||
    "$python" make_pairs.py "$1" --data_folder "$data" --split "$2" \
      --output_folder "$3"
}
mix train.yaml test $pairs/hard
mix benchmarks/mild.yaml test $pairs/mild
mix "$target/train.yaml" train "$pairs/$name" # to calibrate on

"$python" export_onnx.py "$results" ${checkpoint:+--checkpoint "$checkpoint"} \
  --overwrite --output_folder "$target" ${FORMS:-}
"$python" - "$results" "$checkpoint" "$target/weights.pt" <<'END'
from pathlib import Path
import shutil, sys
from edgebrain.training.results import pick_checkpoint
folder, _ = pick_checkpoint(Path(sys.argv[1]), sys.argv[2] or None)
shutil.copy(folder / "model.ckpt", sys.argv[3])
END
quantize() {
  "$python" quantize.py "$1" --precision "$2" --overwrite "${@:3}" \
    --calibration_folder "$pairs/$name/noisy_trainset_wav"
}
quantize "$target/stream.onnx" int8 ${INT8:-}
quantize "$target/stream.onnx" int16x8
forms=("$target"/{offline,stream,stream_int8,stream_int16x8}.onnx)
if [ -e "$target/patch.onnx" ]; then # a recurrent network has none
  quantize "$target/patch.onnx" int8 ${INT8:-}
  rm "$target/patch.onnx" # 2 MiB a model: export_onnx.py makes it again
  forms+=("$target/patch_int8.onnx")
fi

score() { # SET FOLDER WHAT...
  local set=$1 folder=results/evaluation/release-$name-$2
  "$python" evaluate.py "${@:3}" --output_folder "$folder" \
    --metrics pesq stoi si_snr \
    --noisy_folder "$pairs/$set/noisy_testset_wav" \
    --clean_folder "$pairs/$set/clean_testset_wav"
}
for set in hard mild; do
  score $set $set "$results${checkpoint:+/save/$checkpoint}" \
    --compare "${forms[@]}"
  score $set $set-levels "$target/stream_int8.onnx" --gain_db -30 -20 0 10
done

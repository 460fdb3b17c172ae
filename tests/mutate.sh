#!/bin/bash
# Does the audit catch one wrong line? Puts one wrong gradient after the other into the real sources of the ops, builds, and
# demands that `patchcl audit ops` exits with 7 and names the op and the input. Works on a copy; some ten seconds per line.
# A .cu file is audited on the emulated GPU (tests/emulated_gpu).
#   make test-mutations
set -u
cd "$(dirname "$0")/.."

# file | op | input | sed expression: a mistake that people make
mutations='
autograd/ops/linear.cpp|linear|x\[0\]|37s/false, true, n, in, out/false, true, n, in, out/;37s/dx.accumulate/false/
autograd/ops/linear.cpp|linear|x\[1\]|38s/dw.accumulate/true/
autograd/ops/linear.cpp|linear|x\[2\]|43s/T(sum)/T(sum) \/ T(n)/
autograd/ops/softmax.cpp|softmax|x\[0\]|65s/(dy\[k\] - dot)/dy[k]/
autograd/ops/softmax.cpp|log_softmax|x\[0\]|73s/std::exp(y\[k\]) \* sum/y[k] * sum/
autograd/ops/l2_normalize.cpp|l2_normalize|x\[0\]|46s/ - y\[j\] \* dot//
autograd/ops/l2_normalize.cpp|l2_normalize|x\[0\]|46s/r\[row\] \* (/(/
autograd/ops/gather.cpp|gather_rows|x\[0\]|41s/+=/=/
autograd/ops/global_avg_pool.cpp|global_avg_pool|x\[0\]|44s/ \/ T(pixels)//
autograd/ops/max_pool2d.cpp|max_pool2d|x\[0\]|32s/choice\[c\] == k/choice[c] <= k/
autograd/ops/upsample2x.cpp|upsample2x|x\[0\]|33s/sum, accumulate/sum \/ T(2), accumulate/
autograd/ops/reduce.cpp|sum|x\[0\]|30s/store(dx\[i\], g/store(dx[i], T(1)/
autograd/ops/arith.cpp|mul|x\[0\]|34s/\.da(u, v)/.da(v, u)/
autograd/ops/arith.cpp|mul|x\[1\]|35s/\.db(u, v)/.da(u, v)/
autograd/ops/arith.cpp|scale|x\[0\]|57s/s \* dy\[i\]/dy[i]/
autograd/ops/pointwise.cpp|sigmoid|x\[0\]|31s/+=/=/;33s/x\[i\], y\[i\]/x[i], x[i]/
autograd/ops/conv2d.cpp|conv2d|x\[0\]|58s/double(out) + sum/sum/
autograd/ops/conv2d.cpp|conv2d|x\[1\]|81s/double(d) + sum : sum/sum : sum/
autograd/ops/instance_norm.cpp|instance_norm|x\[2\]|s/accumulate || n > 0/accumulate/
autograd/ops/conv_transpose2d.cpp|conv_transpose2d|x\[2\]|s/{0, 2}) dx/{0}) dx/
losses/dice.cpp|dice|x\[0\]|s/factors\[2 \* k\] = -2/factors[2 * k] = 2/
losses/dice.cpp|dice|x\[0\]|s/2 \* numerator \/ (d \* d/numerator \/ (d * d/
losses/consistency.cpp|mean_squared_error|x\[1\]|47s/T(-g)/T(g)/
losses/info_nce.cpp|info_nce|x\[0\]|s/ - (j == 0)) \/ anchors/) \/ anchors/
losses/info_nce.cpp|info_nce|x\[1\]|s/add_scaled(scale \* g\[0\], q/add_scaled(-scale * g[0], q/
losses/guided_contrastive.cpp|guided_contrastive|x\[0\]|s/add_scaled(-scale, s.mean/add_scaled(scale, s.mean/
losses/guided_contrastive.cpp|guided_contrastive|x\[0\]|s/T(lambda \/ tau) \* dot/T(lambda \/ (2 * tau)) * dot/
tensor/cuda_runtime.cuh|dice|y|s/^    __syncthreads();$//
autograd/ops/max_pool2d.cu|max_pool2d|x\[0\]|s/a % 2 \* 2 + b % 2/b % 2 * 2 + a % 2/
autograd/ops/upsample2x.cu|upsample2x|x\[0\]|s/rows.weight(o, i) \* columns/rows.weight(o, j) * columns/
autograd/ops/norm_act.cu|batch_norm|x\[0\]|s/channel.mean_dz_xhat\[c\]/channel.mean_dz[c]/
autograd/ops/norm_act.cu|norm_act_dropout|x\[1\]|s/dz \* double(m.xhat(e, c))/dz/
autograd/ops/conv2d.cu|conv2d|x\[1\]|s/(o \* taps + t) \* count + c\]/(o * taps + t) * count]/
autograd/ops/conv2d.cu|conv2d|x\[0\]|s/beta = out.accumulate/beta = 0/
autograd/ops/softmax.cu|log_softmax|x\[0\]|s/::exp(y\[at + k\]) \* sum/sum/
autograd/ops/linear.cu|linear|x\[0\]|s/dy, w, dx.accumulate/dy, w, false/
autograd/ops/cast.cu|cast|x\[0\]|s/b.dx\[0\].accumulate/false/
autograd/ops/conv_transpose2d.cu|conv_transpose2d|x\[1\]|s/= dy\[at.y(n, i, j, c)\]/= dy[at.y(n, i ^ 1, j, c)]/
losses/dice.cu|dice|x\[0\]|s/factors\[2 \* k\] = -2/factors[2 * k] = 2/
losses/cross_entropy.cu|cross_entropy|x\[0\]|s/ - T(k == label\[i\])//
losses/guided_contrastive.cu|guided_contrastive|x\[0\]|s/sum = -s.mean_of/sum = s.mean_of/
losses/info_nce.cu|info_nce|x\[0\]|s/T sum = g\[0\] \* c.k\[at\];/T sum = 0;/
'

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cpu=build/release/patchcl gpu=build/release-emulated/patchcl
make -s CUDA=0 $cpu && make -s CUDA=emulated $gpu || exit 1
cp -a --parents $(git ls-files Makefile .ci tensor autograd layers losses data train tests) build/probe*.mk build/release build/release-emulated "$tree"
cd "$tree"

build_and_audit() {
  case $1 in
    *.cu*) make -s CUDA=emulated $gpu > log 2>&1 || return 100; $gpu audit ops "$2" --device cuda > log 2>&1 ;;
    *) make -s CUDA=0 $cpu > log 2>&1 || return 100; $cpu audit ops "$2" --kernels all > log 2>&1 ;;
  esac
}

caught=0 missed=0
while IFS='|' read -r file op input change; do
  [[ -n $file ]] || continue
  cp -p "$file" original
  sed -i "$change" "$file"
  if cmp -s "$file" original; then
    echo "NOT CHANGED  $file  $change"
    missed=$((missed + 1))
  else
    build_and_audit "$file" "$op"
    code=$?
    if [[ $code == 7 ]] && grep -q "$op" log && grep -q "$input" log; then
      echo "caught  $op ${input//\\/}  $file  $change"
      caught=$((caught + 1))
    else
      [[ $code == 100 ]] && echo "DID NOT BUILD  $file  $change" || echo "MISSED (exit code $code)  $op  $file  $change"
      tail -3 log
      missed=$((missed + 1))
    fi
  fi
  cp original "$file"
  touch "$file"
done <<< "$mutations"
echo "$caught passed, $missed failed, 0 skipped"
[[ $missed == 0 && $caught -ge 20 ]]

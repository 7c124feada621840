#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Checks what the objects of the datapath refer to.
# Usage: check_core_symbols.sh DIRECTORY-OF-OBJECTS
#
# A packet takes no lock, writes no line, reads no clock and makes no system call. So none of that
# may be in the objects, wherever it comes from (a header can inline a mutex into its user). The
# list says what is allowed; everything else is an error. If objdump is
# installed, it also checks that there is no atomic read-modify-write and no rdtsc.
set -euo pipefail

# Allowed everywhere: our own symbols, memory, the compiler's, and exceptions of construction.
readonly ANY='^((void |bool )?synproxy::|(vtable|typeinfo|guard variable|typeinfo name) for (synproxy|std)::|vtable for __cxxabiv1::|mem(cpy|set|move|cmp|chr)$|bcmp$|strlen$|_GLOBAL_OFFSET_TABLE_$|__gxx_personality_v0$|_Unwind_Resume$|__cxa_(throw|rethrow|begin_catch|end_catch|allocate_exception|free_exception|throw_bad_array_new_length)$|__cxa_pure_virtual$|__stack_chk_fail$|std::__throw_|std::(bad_alloc|runtime_error|invalid_argument|length_error|out_of_range)::|operator delete|std::terminate|__clang_call_terminate)'
# Allowed by object. Constructors allocate; the MAC kernel is chosen once; keys are wiped.
readonly CONSTRUCTS='^operator new'
declare -rA ALSO=(
  [core_proxy_burst_engine]="$CONSTRUCTS"
  [core_policy_activation]="$CONSTRUCTS"
  [core_proxy_flows_named_services]="$CONSTRUCTS"
  [core_proxy_flows_turns]="$CONSTRUCTS"
  [core_proxy_handshake_early_store]="$CONSTRUCTS"
  [core_proxy_handshake_handshakes]="$CONSTRUCTS"
  [core_policy_reassembler]="$CONSTRUCTS"
  [core_proxy_syn_doubts]="$CONSTRUCTS"
  [core_proxy_syn_services]="$CONSTRUCTS"
  [core_proxy_spliced_offloads]="$CONSTRUCTS"
  [core_proxy_spliced_too_long]="$CONSTRUCTS"
  [core_flow_table]="$CONSTRUCTS"
  [core_flow_replay_filter]="$CONSTRUCTS"
  [core_policy_protect]="$CONSTRUCTS"
  [core_wire_option_walks_avx512]='^(__cpu_model|__cpu_indicator_init)$'
  [core_lanes_vectors]='^(__cpu_model|__cpu_indicator_init)$'
  [core_proxy_burst_screen]='^__popcountdi2$'  # libgcc's, a table look-up
  [core_proxy_ack_ack_burst]='^__popcountdi2$'
  [core_proxy_syn_syn_burst]='^__popcountdi2$'
  [core_cookie_epoch]='^OPENSSL_cleanse$'
)

# These may hold locked instructions: all workers share what sources have spent of their limits, and
# which places at a server are taken. A connection takes part in it when it is opened, spliced and
# over, and no other packet does (shared_lines_test). Once an epoch, the first worker settles for all
# whether its plain cookies are tight. A slot for a connection that the kernel carries is taken and
# given back.
readonly LOCKS='^core_(cookie_key_ring|policy_(source_limits|server_places)|proxy_(flows_turns|spliced_offloads))$'

status=0
checked=0
while read -r object; do
  name=$(basename "$object" .cc.o)
  [[ $name == core_* ]] || { echo "not an object of the core: $object"; exit 1; }
  checked=$((checked + 1))
  allowed=$ANY
  [[ -z ${ALSO[$name]-} ]] || allowed="$ANY|${ALSO[$name]}"
  if bad=$(nm -u -C "$object" | sed -E 's/^ *[Uwv] //' | grep -vE "$allowed"); then
    printf '%s refers to:\n%s\n' "$name" "$bad"
    status=1
  fi
  locked='lock |'
  [[ ! $name =~ $LOCKS ]] || locked=''
  if [[ $(uname -m) == x86_64 ]] && command -v objdump >/dev/null; then
    # An xchg with memory locks the bus without saying so.
    if bad=$(objdump -d --no-show-raw-insn "$object" |
      grep -E $'\t('"$locked"$'rdtsc|syscall|sysenter|xchg .*\\()' | grep -vE 'xchg +%ax,%ax'); then
      printf '%s contains:\n%s\n' "$name" "$bad"
      status=1
    fi
  fi
done < <(find "$1" -name '*.o' | sort)
((checked >= 20)) || { echo "only $checked objects of the datapath: is the list complete?"; exit 1; }
((status != 0)) || echo "$checked objects ask for nothing that a packet may not"
exit "$status"

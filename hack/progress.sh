# Steps with a clock, for scripts that a person waits for. Sourced, not run.
#
#   step "what happens" COMMAND...   runs it with its output in a log file, shows the time it takes
#   give_up STEP LOG                 called by step on failure: names the step, the cause, the way out
#
# Variables: STEP_LOGS  folder of the logs
#            EXPECT     shown beside the running clock ("about 8 min the first time")
#            WAY_OUT    what to do if the step fails
#            EXPLAIN    a command that prints more about a failure (state of pods, …)
LC_ALL=C # EPOCHREALTIME with a point, whatever the user's language
: "${STEP_LOGS:=${TMPDIR:-/tmp}}"
started_us=${EPOCHREALTIME/./}

seconds_since() { # microseconds since the epoch → "12.3 s"
  local us=$((${EPOCHREALTIME/./} - $1))
  if ((us < 60000000)); then printf '%d.%d s' $((us / 1000000)) $((us / 100000 % 10))
  else printf '%d min %02d s' $((us / 60000000)) $((us / 1000000 % 60)); fi
}

step() { # title, command
  local title=$1 log begun=${EPOCHREALTIME/./} pid status=0 tick=0
  shift
  mkdir -p "$STEP_LOGS"
  log=$STEP_LOGS/$(tr -cs 'a-zA-Z0-9\n' - <<<"$title" | cut -c1-40).log
  set -m # a process group of its own, so that Ctrl-C can end all of it
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  set +m
  trap 'kill -TERM -- -'$pid' 2>/dev/null; echo; echo "stopped in: '"${title//\'/}"'" >&2; exit 130' INT TERM
  [[ -t 1 ]] || echo "  … $title${EXPECT:+ ($EXPECT)}"
  while kill -0 $pid 2>/dev/null; do
    sleep 0.1
    tick=$((tick + 1))
    if [[ -t 1 ]]; then
      ((tick % 5)) || printf '\r\033[K  … %s  %s%s' "$title" "$(seconds_since "$begun")" "${EXPECT:+ ($EXPECT)}"
    elif ((tick % 300 == 0)); then
      echo "  … $title  $(seconds_since "$begun"): $(tail -n 1 "$log" | cut -c1-100)"
    fi
  done
  wait $pid || status=$?
  trap - INT TERM
  [[ -t 1 ]] && printf '\r\033[K'
  ((status == 0)) || give_up "$title" "$log" "$(seconds_since "$begun")"
  printf '  ✓ %-52s %s\n' "$title" "$(seconds_since "$begun")"
}

give_up() { # title, log, time
  {
    echo "  ✗ $1: failed after $3"
    echo
    echo "The last lines of $2:"
    tail -n 15 "$2" | sed 's/^/    /'
    if [[ ${EXPLAIN:-} ]]; then
      echo
      $EXPLAIN 2>&1 | sed 's/^/    /'
    fi
    [[ ${WAY_OUT:-} ]] && printf '\nWay out: %s\n' "$WAY_OUT"
  } >&2
  exit 1
}

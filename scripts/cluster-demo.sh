#!/usr/bin/env bash
# A cluster to look at: Redis, Postgres, a proxy, three gateways and two workers, on private ports of the loopback, in a
# temporary folder. Keys kill parts and start them again while people chat and play through the proxy; at the end everything
# is stopped and removed. With --check it kills parts by itself while messages are sent, and proves that none is lost.
# Where a program is missing it says so and ends with status 77. CARILLON=FILE names the program, by default bin/carillon.
set -euo pipefail
cd "$(dirname "$0")/.."
carillon=${CARILLON:-bin/carillon}
mode=${1:-}
gateways=(g1 g2 g3) workers=(w1 w2) patience=60
declare -A pid port inside

cannot() { echo "cluster-demo cannot run here: $*" >&2; exit 77; }
fail() { echo "cluster-demo: $*" >&2; exit 1; }
say() { printf '  %s\n' "$*"; }

need() {
  case $mode in '' | --check) ;; *) echo 'usage: cluster-demo.sh [--check]' >&2; exit 2 ;; esac
  [[ $mode == --check || -t 0 && -t 1 ]] || cannot 'it needs a terminal; without one there is --check'
  local program
  for program in redis-server redis-cli curl setpriv setsid; do
    command -v "$program" >/dev/null || cannot "$program is not installed (scripts/test-deps.sh installs it on Debian)"
  done
  postgres=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1) # Debian keeps it out of the PATH
  [[ -n $postgres ]] || postgres=$(dirname "$(command -v initdb || echo ./none)")
  [[ -x $postgres/initdb && -x $postgres/postgres ]] || cannot 'postgresql is not installed (scripts/test-deps.sh installs it on Debian)'
  as_postgres=()
  if [[ $(id -u) == 0 ]]; then # it refuses to run as root
    id postgres >/dev/null 2>&1 || cannot 'Postgres does not run as root, and there is no user postgres'
    as_postgres=(--reuid=postgres --regid=postgres --clear-groups)
  fi
  balancer=$(command -v haproxy || command -v nginx || true)
  [[ -n $balancer || $mode == '' ]] || cannot 'neither haproxy nor nginx is installed, and the check goes through one of them'
  [[ -x $carillon ]] || cannot "$carillon is not there: make build"
  carillon=$(realpath "$carillon")
}

# free_port sets REPLY; below 32768 no outgoing connection takes it before the part listens.
used=' '
free_port() {
  while :; do
    REPLY=$((20000 + RANDOM % 12000))
    [[ $used == *" $REPLY "* ]] && continue
    (: <"/dev/tcp/127.0.0.1/$REPLY") 2>/dev/null && continue
    used+="$REPLY "
    return
  done
}

# launch NAME [OPTION OF setpriv...] -- COMMAND... runs a part in a session of its own, so that Ctrl-C is ours alone. It
# dies with this script, however that ends.
launch() {
  local name=$1 options=() death=KILL
  [[ $name != proxy ]] || death=TERM # it ends its workers, which outlive a kill
  shift
  while [[ $1 != -- ]]; do options+=("$1"); shift; done
  shift
  setsid setpriv "${options[@]}" --pdeathsig "$death" "$@" >>"$dir/$name.log" 2>&1 </dev/null &
  pid[$name]=$!
}

node() { # NAME ROLES
  local name=$1 listen=()
  [[ $2 == worker ]] || listen=(--listen "127.0.0.1:${port[$name]}")
  CARILLON_NODE=$name launch "$name" -- "$carillon" dev --roles "$2" "${listen[@]}" --internal-listen "127.0.0.1:${inside[$name]}" --durable news
}

start() { # NAME: a part that does not run
  case $1 in
    redis)
      launch redis -- redis-server --port "${port[redis]}" --bind 127.0.0.1 --dir "$dir/redis" --save '' --appendonly yes \
        --appendfsync everysec --client-output-buffer-limit pubsub 64mb 16mb 60 ;;
    postgres)
      launch postgres "${as_postgres[@]}" -- "$postgres/postgres" -D "$dir/postgres" -p "${port[postgres]}" -h 127.0.0.1 -k "$dir/postgres" ;;
    proxy)
      case $balancer in
        *haproxy) launch proxy -- "$balancer" -db -f "$dir/haproxy.cfg" ;;
        *nginx) launch proxy -- "$balancer" -p "$dir" -c "$dir/nginx.conf" -g "daemon off; pid $dir/nginx.pid; error_log stderr;" ;;
      esac ;;
    g*) node "$1" gateway,api ;;
    w*) node "$1" worker ;;
  esac
}

# well tells whether a part answers.
well() {
  case $1 in
    redis) [[ $(redis-cli -p "${port[redis]}" ping 2>/dev/null) == PONG ]] ;;
    postgres) "$postgres/pg_isready" -q -h 127.0.0.1 -p "${port[postgres]}" ;;
    proxy) curl -fsS -m 2 -o "$dir/answer" "http://127.0.0.1:${port[proxy]}/" 2>/dev/null ;;
    *) curl -fsS -m 2 -o "$dir/answer" "http://127.0.0.1:${inside[$1]}/readyz" 2>/dev/null ;;
  esac
}

runs() { [[ -n ${pid[$1]:-} ]] && kill -0 "${pid[$1]}" 2>/dev/null; }

await() { # NAME: until it answers
  local until=$((SECONDS + patience))
  until well "$1"; do
    runs "$1" || { tail -n 20 "$dir/$1.log" >&2; fail "$1 ended at once"; }
    ((SECONDS < until)) || { tail -n 20 "$dir/$1.log" >&2; fail "$1 does not come up"; }
    sleep 0.1
  done
}

# end NAME SIGNAL sends a signal and waits for the end.
end() {
  runs "$1" || return 0
  kill "-$2" "${pid[$1]}" 2>/dev/null || true
  wait "${pid[$1]}" 2>/dev/null || true
}

crash() { [[ $1 == postgres ]] && end postgres QUIT || end "$1" KILL; } # Postgres stops at once and saves nothing, its children too

cleanup() {
  trap '' INT TERM
  [[ $mode == --check ]] || printf '\e[?25h'
  rm -f "$dir/talking"
  local name
  end proxy TERM # its workers with it
  for name in "${gateways[@]}" "${workers[@]}" listener chat plain; do end "$name" KILL; done
  end redis KILL
  end postgres QUIT
  rm -rf "$dir"
}

# settings are those of all nodes. dev lets guests in, on the loopback alone; the secret is for the tokens of the check.
settings() {
  head -c 48 /dev/urandom | base64 -w0 >"$dir/secret"
  chmod 600 "$dir/secret"
  export CARILLON_SECRET_FILE=$dir/secret CARILLON_REDIS_URL=redis://127.0.0.1:${port[redis]}
  export CARILLON_POSTGRES_URL="postgres://postgres@127.0.0.1:${port[postgres]}/postgres?sslmode=disable"
  export CARILLON_TRUSTED_PROXIES=127.0.0.1 CARILLON_DRAIN_WINDOW=2s CARILLON_CONFIG= NO_COLOR=1
}

# balance makes the proxy's configuration of the sample in deploy: other addresses, and three gateways.
balance() {
  local servers='' name
  case $balancer in
    *haproxy)
      for name in "${gateways[@]}"; do servers+="    server $name 127.0.0.1:${port[$name]} check port ${inside[$name]}\n"; done
      sed -e "s|bind :80|bind 127.0.0.1:${port[proxy]}|" -e "s|stats socket [^ ]*|stats socket $dir/proxy.sock|" \
        -e "s|^ *server g1 .*|${servers%\\n}|" -e '/^ *server g2 /d' deploy/haproxy.cfg >"$dir/haproxy.cfg" ;;
    *nginx)
      for name in "${gateways[@]}"; do servers+="        server 127.0.0.1:${port[$name]} max_fails=1 fail_timeout=2s;\n"; done
      for name in client_body proxy fastcgi uwsgi scgi; do temporary+="    ${name}_temp_path $dir/$name;\n"; done
      sed -e "s|listen 80 |listen 127.0.0.1:${port[proxy]} |" -e "s|^http {|http {\n$temporary|" -e '/^worker_rlimit/d' -e 's/worker_connections .*/worker_connections 4096;/' \
        -e "s|^ *server 10.87.0.11:.*|${servers%\\n}|" -e '/^ *server 10.87.0.12:/d' deploy/nginx.conf >"$dir/nginx.conf" ;;
  esac
}

start_all() {
  dir=$(mktemp -d "${TMPDIR:-/tmp}/carillon-cluster.XXXXXX")
  trap cleanup EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  chmod 711 "$dir" # Postgres is another user
  mkdir "$dir/redis" "$dir/postgres"
  chmod 700 "$dir/postgres"
  [[ ${#as_postgres[@]} == 0 ]] || chown postgres "$dir/postgres"
  local name
  for name in redis postgres proxy "${gateways[@]}"; do free_port; port[$name]=$REPLY; done
  for name in "${gateways[@]}" "${workers[@]}"; do free_port; inside[$name]=$REPLY; done
  settings
  balance
  setpriv "${as_postgres[@]}" "$postgres/initdb" -D "$dir/postgres" -A trust -U postgres -E UTF8 --no-sync >"$dir/initdb.log" 2>&1 ||
    { cat "$dir/initdb.log" >&2; fail 'initdb failed'; }
  say 'starting Redis and Postgres'
  start redis; start postgres; await redis; await postgres
  say 'starting three gateways and two workers'
  for name in "${gateways[@]}" "${workers[@]}"; do start "$name"; done
  for name in "${gateways[@]}" "${workers[@]}"; do await "$name"; done
  parts=(redis postgres "${gateways[@]}" "${workers[@]}")
  if [[ -n $balancer ]]; then
    say "starting $(basename "$balancer")"
    start proxy; await proxy
    parts+=(proxy)
  fi
}

# The check: two speak while parts are killed, one listens.

# speak KIND sends one message after the other, each again under its id until it is acknowledged.
speak() {
  local n=0 until
  while [[ -e $dir/talking ]]; do
    n=$((n + 1)) until=$((SECONDS + patience))
    until "send_$1" "$n" >>"$dir/$1.log" 2>&1; do
      ((SECONDS < until)) || exit 1
      sleep 0.2
    done
    echo "$n" >>"$dir/$1.acked"
  done
}
send_chat() { "$carillon" call chat:check "{\"do\":\"send\",\"text\":\"$1\"}" --id "chat-$1" --wait 5s; }
send_plain() { "$carillon" pub demo:check "\"$1\"" --id "plain-$1" --wait 5s; }

# numbers KIND reads records on standard input and prints the numbers of the messages among them.
numbers() {
  case $1 in
    chat) sed -n 's/.*"channel":"chat:check".*"type":"message".*"text":"\([0-9]*\)".*/\1/p' ;;
    plain) sed -n 's/.*"channel":"demo:check".*"data":"\([0-9]*\)".*/\1/p' ;;
  esac
}

# compare KIND WHERE FILE: every acknowledged message is in the file, and none twice; status 1 while some lack.
compare() {
  numbers "$1" <"$3" | sort >"$dir/got"
  local twice
  twice=$(uniq -d "$dir/got" | head -5 | xargs)
  [[ -z $twice ]] || fail "$1 messages came twice to $2: $twice"
  sort "$dir/$1.acked" | comm -23 - "$dir/got" >"$dir/lacking"
  [[ ! -s $dir/lacking ]]
}

listened() { # KIND: the subscriber has them all, soon
  local until=$((SECONDS + patience))
  until compare "$1" 'the subscriber' "$dir/seen"; do
    ((SECONDS < until)) || fail "$(wc -l <"$dir/lacking") acknowledged $1 messages never came to the subscriber: $(head -5 "$dir/lacking" | xargs)"
    sleep 0.2
  done
}

suffer() { # NAME SECONDS: killed, away for a while, started again
  say "kill -9 $1; back after $2 s"
  crash "$1"
  sleep "$2"
  start "$1"; await "$1"
}

check() {
  export CARILLON_URL=ws://127.0.0.1:${port[proxy]}/ws CARILLON_TOKEN
  CARILLON_TOKEN=$("$carillon" token create --user bob)
  "$carillon" call chat:check '{"do":"create","title":"Check","public":true}' --wait 30s >/dev/null
  launch listener -- "$carillon" sub chat:check demo:check --json --wait 30s
  ln -s listener.log "$dir/seen"
  touch "$dir/talking" "$dir/chat.acked" "$dir/plain.acked"
  CARILLON_TOKEN=$("$carillon" token create --user ann)
  "$carillon" call chat:check '{"do":"join"}' >/dev/null
  say 'one listens, one chats (commands, kept in Postgres), one publishes (plain records, kept in Redis), all through the proxy'
  speak chat & pid[chat]=$!
  speak plain & pid[plain]=$!
  sleep 1
  suffer g1 1
  suffer w1 1
  suffer redis 1
  suffer g2 0
  sleep 1
  rm "$dir/talking"
  local kind
  for kind in chat plain; do
    wait "${pid[$kind]}" || { tail -n 5 "$dir/$kind.log" >&2; fail "$kind messages found no way for $patience s"; }
    listened "$kind"
  done
  "$carillon" history chat:check --all --json --url "ws://127.0.0.1:${port[g3]}/ws" >"$dir/kept" 2>>"$dir/history.log"
  compare chat 'the history' "$dir/kept" || fail "the history of chat:check lacks $(wc -l <"$dir/lacking") acknowledged messages"
  "$carillon" history demo:check --all --json --url "ws://127.0.0.1:${port[g3]}/ws" >"$dir/kept" 2>>"$dir/history.log"
  compare plain 'the history' "$dir/kept" || fail "the history of demo:check lacks $(wc -l <"$dir/lacking") acknowledged messages"
  say "$(wc -l <"$dir/chat.acked") chat messages and $(wc -l <"$dir/plain.acked") plain records were acknowledged: each came once to the subscriber and stands once in the history"
}

# The demo: a line for each part, and keys.

describe() { # NAME: one line
  local state=down what='' key=$1 figures
  if runs "$1"; then
    state="not ready"
    well "$1" && state=up
  fi
  case $1 in
    redis) key=r what="Redis, port ${port[redis]}" ;;
    postgres) key=p what="Postgres, port ${port[postgres]}" ;;
    proxy) key=- what="$(basename "$balancer"), port ${port[proxy]}" ;;
    *)
      key=${1#?}
      [[ $1 == g* ]] || key=$((key + ${#gateways[@]}))
      figures=$(curl -fsS -m 1 "http://127.0.0.1:${inside[$1]}/metrics" 2>/dev/null) || figures=''
      case $1 in
        g*) what="gateway, port ${port[$1]}, $(sum '^carillon_connections{' <<<"$figures") connections" ;;
        w*) what="worker, $(sum '^carillon_service_machines ' <<<"$figures") rooms and games in memory, $(sum '^carillon_service_commands_total{' <<<"$figures") commands done" ;;
      esac ;;
  esac
  printf '   %s  %-9s %-9s %s\e[K\n' "$key" "$1" "$state" "$what"
}
sum() { awk -v lead="$1" '$0 ~ lead { n += $NF } END { print n + 0 }'; }

draw() {
  local name lines=''
  for name in "${parts[@]}"; do lines+=$(describe "$name")$'\n'; done
  printf '\e[%dA%s\n   %s\e[K\n' $((${#parts[@]} + 2)) "$lines" "$news"
}

toggle() { # NAME
  if runs "$1"; then
    crash "$1"
    news="$1 was killed at once; the same key starts it again"
  else
    start "$1"
    news="$1 is starting"
  fi
}

# rolling replaces every node, one after the other, as a deploy does: SIGTERM, wait for the end, start, wait until ready.
rolling() {
  local name
  for name in "${gateways[@]}" "${workers[@]}"; do
    news="rolling deploy: $name drains"
    runs "$name" && kill -TERM "${pid[$name]}"
    while runs "$name"; do draw; sleep 0.2; done
    news="rolling deploy: $name starts"
    start "$name"
    local until=$((SECONDS + patience))
    until well "$name" || ((SECONDS > until)); do draw; sleep 0.2; done
  done
  news='rolling deploy: done'
}

demo() {
  echo
  if [[ -n $balancer ]]; then
    say "open in two windows:  http://127.0.0.1:${port[proxy]}/   chat and chess, through the proxy to any gateway"
  else
    say "neither haproxy nor nginx is installed; open in two windows:"
  fi
  local name key
  for name in "${gateways[@]}"; do say "  $name alone:            http://127.0.0.1:${port[$name]}/"; done
  say "logs: $dir"
  echo
  say 'keys: 1-3 gateways and 4-5 workers, r Redis, p Postgres: kill, and start again; d rolling deploy; q quit'
  echo
  printf '\e[?25l'
  for name in "${parts[@]}" '' ''; do echo; done
  news=''
  while :; do
    draw
    key=''
    read -rsn1 -t 1 key || true
    case $key in
      [1-3]) toggle "g$key" ;;
      [45]) toggle "w$((key - 3))" ;;
      r) toggle redis ;;
      p) toggle postgres ;;
      d) rolling ;;
      q) echo; return ;;
    esac
  done
}

need
start_all
if [[ $mode == --check ]]; then check; else demo; fi

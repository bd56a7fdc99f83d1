# What the commands of this folder share: where a cluster is, and how one node of it is started, asked and ended.
#
#   CASSANDRA_DIR   the folder of the cluster's data, one below it a node   default target/cassandra
#   CASSANDRA_NET   nodes listen on NET.1, NET.2, NET.3, port 9042          default 127.0.0; kept with the cluster
#   CASSANDRA_SYNC  commitlog_sync: batch or periodic                       default batch
#   CASSANDRA_AUTH  1 asks for a password: cassandra, cassandra             default 0
#   CASSANDRA_TLS   1 encrypts; DIR/tls/ca.pem vouches for the nodes        default 0; kept with the cluster
#   CASSANDRA_CENTRES  2 puts the last node into `datacenter2`              default 1
#   CASSANDRA_HEAP  of each node                                            default 512m
set -euo pipefail
kit=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$kit/../.." && pwd)
jars=$root/target/tools/cassandra
dir=$(realpath -m "${CASSANDRA_DIR:-$root/target/cassandra}")
net=${CASSANDRA_NET:-$(cat "$dir/net" 2>/dev/null || echo 127.0.0)}

fail() { echo "cassandra: $*" >&2; exit 1; }

# The jars, by Maven as it is configured on this machine.
fetch() {
  [ "$(cat "$jars/pom.xml" 2>/dev/null)" = "$(cat "$kit/pom.xml")" ] && return
  command -v mvn >/dev/null && command -v java >/dev/null || fail "there is no java or no mvn: run ops/setup"
  rm -rf "$jars"
  mvn --quiet --batch-mode -f "$kit/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$jars"
  cp "$kit/pom.xml" "$jars/pom.xml"
}

# The numbers of the cluster's nodes.
nodes() { local node; for node in "$dir"/node[0-9]; do if [ -d "$node" ]; then echo "${node: -1}"; fi; done; }

# The process of node $1, if it runs. A number that the system has given to another process since is not taken for it.
pid_of() {
  local pid
  pid=$(cat "$dir/node$1/pid" 2>/dev/null) || return 1
  tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qx -- "-Dcassandra.storagedir=$dir/node$1" && echo "$pid"
}

# Whether node $1 answers: an OPTIONS frame of CQL by a SUPPORTED frame.
answers() {
  local ask='exec 3<>"/dev/tcp/$0/9042" && printf "\x04\x00\x00\x00\x05\x00\x00\x00\x00" >&3 && head -c 5 <&3' reply
  if [ -e "$dir/tls/ca.pem" ]; then
    # s_client ends with its input, and the answer comes before that.
    ask='(printf "\x04\x00\x00\x00\x05\x00\x00\x00\x00"; sleep 1) |
      openssl s_client -quiet -no_ign_eof -verify_quiet -verify_return_error -CAfile "$1" -connect "$0:9042" | head -c 5'
  fi
  reply=$(timeout 3 bash -c "$ask" "$net.$1" "$dir/tls/ca.pem" 2>/dev/null | od -An -tx1 | tr -d ' \n') || return 1
  [ "$reply" = 8400000006 ]
}

# Makes an authority of its own and the certificate of all nodes, unless they are there.
certify() {
  local tls=$dir/tls curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
  [ ! -e "$tls/ca.pem" ] || return 0
  mkdir -p "$tls"
  openssl req -x509 "${curve[@]}" -days 30 -subj "/CN=QuickPe tests" -keyout "$tls/ca.key" -out "$tls/ca.new" \
    -addext "keyUsage=critical,keyCertSign"
  openssl req "${curve[@]}" -subj "/CN=cassandra" -keyout "$tls/node.key" -out "$tls/node.csr"
  openssl x509 -req -in "$tls/node.csr" -CA "$tls/ca.new" -CAkey "$tls/ca.key" -CAcreateserial -days 30 \
    -extfile <(echo "subjectAltName=IP:$net.1,IP:$net.2,IP:$net.3") -out "$tls/node.pem"
  openssl pkcs12 -export -inkey "$tls/node.key" -in "$tls/node.pem" -certfile "$tls/ca.new" -passout pass:quickpe \
    -out "$tls/node.p12"
  mv "$tls/ca.new" "$tls/ca.pem"
} 2>/dev/null

# Writes the configuration of node $1 of $2.
configure() {
  local node=$dir/node$1 seeds=$net.1 token=0 authenticator=AllowAllAuthenticator period="" encrypted=false centre=1 text
  mkdir -p "$node/log" "$node/tmp"
  if [ "$2" -gt 1 ]; then
    local tokens=(-9223372036854775808 -3074457345618258603 3074457345618258602)
    token=${tokens[$(($1 - 1))]}
    seeds=$(for ((one = 1; one <= $2; one++)); do printf '%s.%s,' "$net" "$one"; done)
    seeds=${seeds%,}
  fi
  if [ "${CASSANDRA_AUTH:-0}" = 1 ]; then authenticator=PasswordAuthenticator; fi
  if [ "$1" = "$2" ]; then centre=${CASSANDRA_CENTRES:-1}; fi
  printf 'dc=datacenter%s\nrack=rack1\n' "$centre" >"$node/rackdc.properties"
  if [ -e "$dir/tls/ca.pem" ]; then encrypted=true; fi
  if [ "${CASSANDRA_SYNC:-batch}" = periodic ]; then period="commitlog_sync_period: 1000ms"; fi
  text=$(<"$kit/cassandra.yaml")
  text=${text//@TOKEN@/$token} text=${text//@SEEDS@/$seeds} text=${text//@ADDRESS@/$net.$1}
  text=${text//@FOLDER@/$node} text=${text//@AUTHENTICATOR@/$authenticator}
  text=${text//@ENCRYPTED@/$encrypted} text=${text//@CERTIFICATE@/$dir/tls/node.p12}
  text=${text//@SYNC@/${CASSANDRA_SYNC:-batch}} text=${text//@SYNC_PERIOD@/$period}
  printf '%s\n' "$text" >"$node/cassandra.yaml"
}

# Starts node $1 in the background, in a session of its own.
launch() {
  local node=$dir/node$1 flags agent
  mapfile -t flags < <(grep -v -e '^#' -e '^$' "$kit/jvm.options")
  agent=$(echo "$jars"/jamm-*.jar)
  : >"$node/log/system.log"
  ( # A lock that a caller holds by a descriptor would be held as long as the node lives.
    for descriptor in /proc/self/fd/*; do
      descriptor=${descriptor##*/}
      [ "$descriptor" -le 2 ] || eval "exec $descriptor>&-"
    done
    exec setsid java "${flags[@]}" "-javaagent:$agent" "-Xms${CASSANDRA_HEAP:-512m}" "-Xmx${CASSANDRA_HEAP:-512m}" \
      -XX:MaxDirectMemorySize=256m "-XX:ErrorFile=$node/log/hs_err.log" "-Djava.io.tmpdir=$node/tmp" \
      "-Dcassandra.config=file://$node/cassandra.yaml" "-Dcassandra.storagedir=$node" "-Dcassandra.logdir=$node/log" \
      "-Dcassandra-rackdc.properties=file://$node/rackdc.properties" "-Dlogback.configurationFile=$kit/logback.xml" -Dcassandra-foreground=yes \
      -cp "$jars/*" org.apache.cassandra.service.CassandraDaemon
  ) </dev/null >>"$node/log/out.log" 2>&1 &
  echo $! >"$node/pid"
}

# Waits until node $1 answers.
await() {
  local tries=0
  until answers "$1"; do
    pid_of "$1" >/dev/null || { tail -n 20 "$dir/node$1"/log/{out,system}.log >&2 || true; fail "node $1 ended"; }
    sleep 0.25
    tries=$((tries + 1))
    [ "$tries" -lt 480 ] || fail "node $1 does not answer after 120 s"
  done
}

# Waits until all $1 nodes have seen all others, and for 2 s nothing more: a node answers CQL before that, and would
# miss changes of the schema.
await_peers() {
  local tries=0 calm=0 last="" now node seen
  while [ "$calm" -lt 8 ]; do
    now=""
    for ((node = 1; node <= $1; node++)); do
      # None yet is no failure.
      seen=$({ grep -oE 'InetAddress /[0-9.]+:7000 is now UP' "$dir/node$node/log/system.log" || true; } | sort -u | wc -l)
      [ "$seen" -ge $(($1 - 1)) ] || { now=waiting$tries; break; }
      now+=" $(grep -cE 'is now (UP|DOWN)' "$dir/node$node/log/system.log")"
    done
    if [ "$now" = "$last" ]; then calm=$((calm + 1)); else calm=0 last=$now; fi
    sleep 0.25
    tries=$((tries + 1))
    [ "$tries" -lt 240 ] || fail "the nodes do not see each other after 60 s"
  done
}

# Ends node $1 by signal $2 and waits for it; one that does not heed TERM for 20 s is killed.
end() {
  local pid tries=0
  pid=$(pid_of "$1") || { rm -f "$dir/node$1/pid"; return 0; }
  # A stopped process heeds nothing but KILL.
  kill -CONT "$pid"
  kill "-$2" "$pid"
  while pid_of "$1" >/dev/null; do
    sleep 0.1
    tries=$((tries + 1))
    [ "$tries" -ne 200 ] || kill -KILL "$pid"
  done
  rm -f "$dir/node$1/pid"
}

/**
 * Closed ports of this machine that the system may choose as local ports: a connect to such a port can
 * connect to itself. In a network namespace with only two such ports, of which none is kept for a minute
 * after its connection, every connect to one of them does.
 */
import { assert, assertEquals } from "@std/assert";
import { Folder } from "../harness/folder.ts";
import { type Proxy, spawnProxy } from "../harness/proxy.ts";
import { ENGINES } from "../harness/scenario.ts";
import { webArgs, WebProxy } from "../harness/web_proxy.ts";

const PORTS = [40_000, 40_001] as const;
const NAMES = PORTS.map((port) => `127.0.0.1:${port}`);
const NETWORK = [
  "ip link set lo up",
  `echo '${PORTS.join(" ")}' > /proc/sys/net/ipv4/ip_local_port_range`,
  "echo 0 > /proc/sys/net/ipv4/tcp_max_tw_buckets",
].join(" && ");
/** Runs the command that follows it, in a separate network namespace. */
const ALONE = ["unshare", "-n", "sh", "-c", `${NETWORK} && exec "$@"`, "sh"] as const;

function alone(...args: string[]): Deno.CommandOutput {
  return new Deno.Command(ALONE[0], { args: [...ALONE.slice(1), ...args] }).outputSync();
}

const ignore = Deno.build.os !== "linux" || Deno.uid() !== 0 || !alone("true").success;

Deno.test({
  name: "in this namespace a connection connects to itself",
  ignore,
  fn() {
    const program = `let count = 0;
      for (const port of [${PORTS}]) {
        const conn = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => undefined);
        if (conn?.localAddr.port === port) count++;
        conn?.close();
      }
      console.log(count);`;
    const { stdout } = alone(Deno.execPath(), "eval", "--no-lock", program);
    assert(Number(new TextDecoder().decode(stdout)) > 0);
  },
});

for (const relay of ENGINES) {
  const flags = { relay, "check-interval": "10ms", "recover-threshold": "1" };

  Deno.test({
    name: `[${relay}] a closed port is never up, in TCP mode`,
    ignore,
    async fn() {
      await using folder = await Folder.make();
      const upstreams = NAMES.map((name) => ({ name }));
      const bind = `unix:${folder.at("front")}`;
      await using proxy = spawnProxy({ upstreams, flags, bind, under: ALONE });
      await assertNobodyUp(proxy);
    },
  });

  Deno.test({
    name: `[${relay}] a closed port is never up, in HTTP mode`,
    ignore,
    async fn() {
      await using folder = await Folder.make();
      const [primary, backup] = NAMES.map((name) => ({ name, url: `http://${name}` }));
      const listen = `unix:${folder.at("front")}`;
      const args = webArgs(listen, { primary: primary!, backups: [backup!], flags });
      await using proxy = new WebProxy(args, {}, listen, undefined, ALONE);
      await assertNobodyUp(proxy);
    },
  });
}

/** Waits for some selections, during which each upstream is checked every 10 ms. */
async function assertNobodyUp(proxy: Proxy): Promise<void> {
  const { reasons } = await proxy.event("selection.failed", { round: 2 });
  for (const { reason } of reasons) assert(reason.startsWith("connection refused"), reason);
  assertEquals(proxy.events("upstream.up"), []);
  assertEquals(proxy.events("promotion.started"), []);
}

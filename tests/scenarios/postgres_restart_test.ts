/**
 * The proxy is killed at each step of a failover of a real PostgreSQL pair, and the old primary is running and
 * accepts writes when the proxy is started again: no client is sent there, and no acknowledged commit is
 * lost.
 */
import { assertEquals } from "@std/assert";
import { Folder, waitForFile } from "../harness/folder.ts";
import { Postgres, POSTGRES_BIN } from "../harness/postgres.ts";
import { PostgresWriter, urlOf } from "../harness/postgres_writer.ts";
import { type Proxy, startProxy } from "../harness/proxy.ts";
import { copyScripts } from "../harness/readme.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { Child } from "../harness/child.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const NEEDS = ["psql", POSTGRES_BIN === undefined ? "postgresql" : `${POSTGRES_BIN}/postgres`];
const ROWS = 20;

/** Where the trigger is, or the proxy, when the proxy is killed. */
type Step = "before" | "after" | "serving";

async function query(address: string, statement: string): Promise<string[]> {
  const lines: string[] = [];
  await using psql = new Child("psql", {
    args: ["-qAtX", urlOf(address), "-c", statement],
    onOut: (line) => lines.push(line),
  });
  await psql.ended;
  return lines;
}

/** Kills the proxy at this step; the old primary is started again after that. */
async function killAt(step: Step, proxy: Proxy, folder: Folder, standby: Postgres): Promise<void> {
  if (step === "serving") await proxy.event("promotion.finished", { to: standby.name });
  else await folder.has(step);
  proxy.signal("SIGKILL");
  await proxy.ended;
}

for (const step of ["before", "after", "serving"] as const) {
  const where = step === "serving" ? "while the new primary serves" : `${step} the promotion`;
  testWithPrograms(
    `a proxy that is killed ${where} does not send anybody to the old primary`,
    NEEDS,
    async () => {
      await using folder = await Folder.make();
      await Deno.chmod(folder.path, 0o777);
      await copyScripts(folder.path, "postgres_check.sh", "postgres_promote.sh");
      // The trigger is not killed with the proxy: it continues while the next proxy runs already.
      const stop = (at: Step) =>
        `if [ -e stop_${at} ] && [ ! -e ${at} ]; then touch ${at}; ${waitForFile("go")}; fi`;
      const trigger = await folder.script(
        "promote.sh",
        `${stop("before")}\n./postgres_promote.sh "$1" || exit 1\n${stop("after")}`,
      );
      await using primary = await Postgres.primary(folder.at("primary"));
      await using standby = await Postgres.standby(folder.at("standby"), primary);
      const options = {
        upstreams: [primary, standby],
        bind: `127.0.0.1:${unusedPort()}`,
        flags: {
          "check-host": folder.at("postgres_check.sh"),
          "on-failover": trigger,
          "state-dir": folder.at("state"),
          ...{ "check-interval": "500ms", hold: "30s", "hold-while": "down" },
        },
        env: { PGUSER: "postgres" },
      };
      const first = await startProxy(options);
      await first.event("promotion.finished", { to: primary.name });
      await first.event("upstream.up", { upstream: standby.name });
      await query(first.address, "create table written (id text primary key)");
      await using writer = new PostgresWriter("w", first.address);
      await writer.further(ROWS);
      await folder.write(`stop_${step}`, "");
      await primary.kill();
      await killAt(step, first, folder, standby);

      await primary.start();
      await using second = await startProxy(options).finally(() => folder.write("go", ""));
      await writer.further(ROWS);
      await second.event("upstream.down", { upstream: primary.name, reason: /stale primary/ });
      assertEquals(second.events("promotion.started", { to: primary.name }), []);
      assertEquals(second.events("service.continued", { upstream: primary.name }), []);
      await writer[Symbol.asyncDispose]();
      const kept = new Set(await query(standby.name, "select id from written"));
      assertEquals(writer.acknowledged.filter((row) => !kept.has(row)), []);
    },
  );
}

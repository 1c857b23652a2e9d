/** What is kept of a schedule in which a rule was broken: one history in order of time, and all logs. */
import type { PostgresServers } from "./postgres_servers.ts";
import type { ProxyCluster } from "./proxy_cluster.ts";
import type { Happened } from "./schedule.ts";
import type { Writer } from "./writer.ts";

export interface Evidence {
  readonly seed: number;
  readonly faults: readonly Happened[];
  readonly breaches: readonly string[];
  readonly writers: readonly Writer[];
  readonly cluster: ProxyCluster;
  readonly postgres: PostgresServers | undefined;
}

/** Events of a proxy that tell nothing of a decision. */
const QUIET = /^(check\.|session\.|client|clients\.|noVerdict|trigger\.|program\.)/;
/** A client counts as silent from here on, in milliseconds. */
const SILENT_MS = 2_000;

interface Line {
  readonly at: number;
  readonly text: string;
}

/** Writes it into a folder of its own, whose path it resolves with. */
export async function keepEvidence(evidence: Evidence): Promise<string> {
  const { seed, breaches, faults, writers, cluster, postgres } = evidence;
  const folder = await Deno.makeTempDir({ prefix: `failover-cluster-seed-${seed}-` });
  const write = (name: string, text: string) => Deno.writeTextFile(`${folder}/${name}`, text);
  const happened = faults.map(({ name, at, until }) =>
    `${clock(at)} to ${until === undefined ? "?" : clock(until)} ${name}`
  );
  await write("breaches.txt", [`seed ${seed}`, ...breaches, "", ...happened, ""].join("\n"));
  const lines = [
    ...faultLines(faults),
    ...await triggerLines(cluster),
    ...proxyLines(cluster),
    ...writers.flatMap(silences),
    ...(postgres?.notes ?? []),
  ];
  lines.sort((a, b) => a.at - b.at);
  await write("history.txt", lines.map(({ at, text }) => `${clock(at)} ${text}\n`).join(""));
  const decisions = await cluster.history.decisions().catch((error) => [String(error)]);
  await write("decisions.json", JSON.stringify(decisions, undefined, 1));
  await write("writes.json", JSON.stringify(writers.map((each) => each.writes)));
  await write("reads.json", JSON.stringify(writers.map((each) => each.reads)));
  await write("opened.json", JSON.stringify(cluster.opened(), undefined, 1));
  await write("runs.txt", await cluster.folder.read("runs").catch(() => ""));
  for (const [index, { number, proxy }] of cluster.runs.entries()) {
    await write(`proxy-${number}-run-${index}.log`, proxy.log.join("\n"));
  }
  for (const [index, { lastLines }] of cluster.etcd.members.entries()) {
    await write(`etcd-${index}.log`, lastLines());
  }
  for (const each of postgres === undefined ? [] : [postgres.first, postgres.second]) {
    await write(`${each.name.split(":")[0]}.log`, each.server.log.join("\n"));
  }
  return folder;
}

function clock(at: number): string {
  return new Date(at).toISOString().slice(11, 23);
}

function faultLines(faults: readonly Happened[]): Line[] {
  return faults.flatMap(({ name, at, until, isMissed }) => [
    { at, text: `FAULT begins: ${name}${isMissed ? " (missed its moment)" : ""}` },
    ...until === undefined ? [] : [{ at: until, text: `FAULT has ended: ${name}` }],
  ]);
}

async function triggerLines(cluster: ProxyCluster): Promise<Line[]> {
  return (await cluster.triggers()).map(({ at, what, proxy, event, to, epoch, fence }) => ({
    at,
    text: `trigger ${what}: ${event} to ${to}, epoch ${epoch}, fence ${fence}, by ${proxy}`,
  }));
}

function proxyLines({ runs }: ProxyCluster): Line[] {
  return runs.flatMap(({ number, proxy }) =>
    proxy.allEvents.filter(({ event }) => !QUIET.test(event)).map(({ readAt, event, message }) => ({
      at: readAt,
      text: `proxy ${number} (pid ${proxy.pid}) ${event}: ${message}`,
    }))
  );
}

/** When a writer got nothing acknowledged for long. */
function silences({ writes }: Writer): Line[] {
  return writes.flatMap((write, index) => {
    const before = writes[index - 1];
    if (before === undefined || write.at - before.at < SILENT_MS) return [];
    const { proxy, server, at } = write;
    return [
      { at: before.at, text: `client of proxy ${proxy} is silent, last write at ${before.server}` },
      { at, text: `client of proxy ${proxy} writes again, at ${server}` },
    ];
  });
}

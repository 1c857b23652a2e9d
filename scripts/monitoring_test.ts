/** The examples for monitoring: alerts and a dashboard whose queries use only metrics that the proxy has. */
import { assert, assertEquals } from "@std/assert";
import { testWithPrograms } from "../tests/harness/scenario.ts";
import { metricsMarkdown } from "./events_reference.ts";

const EXAMPLES = new URL("examples/", import.meta.url);

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly targets: readonly { readonly expr: string }[];
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string }[] };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

async function readDashboard(): Promise<Dashboard> {
  return JSON.parse(await Deno.readTextFile(new URL("dashboard.json", EXAMPLES)));
}

function queriesOf({ panels, annotations }: Dashboard): string[] {
  return [
    ...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
    ...annotations.list.map(({ expr }) => expr),
  ];
}

/** The metrics that queries name and the proxy does not have. */
async function unknownMetrics(queries: readonly string[]): Promise<string[]> {
  const rows = [...(await metricsMarkdown()).matchAll(/^\| `(\w+)` \| (\w+) \|/gm)];
  const known = new Set(
    rows.flatMap(([, name, kind]) =>
      kind === "histogram" ? ["_bucket", "_sum", "_count"].map((part) => name + part) : [name!]
    ),
  );
  assert(known.size > 40, `${known.size} metrics found`);
  // Text in quotes is the value of a label.
  const named = queries.join("\n").replaceAll(/"[^"]*"/g, "").matchAll(
    /\b(failover|process|http_server)_\w+/g,
  );
  return [...new Set([...named].map(([name]) => name))].filter((name) => !known.has(name));
}

async function promtool(args: readonly string[], cwd: string | URL): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command("promtool", { args: [...args], cwd })
    .output();
  assert(success, new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr));
}

Deno.test("the dashboard uses only metrics that exist, and its panels do not overlap", async () => {
  const dashboard = await readDashboard();
  const { panels, templating } = dashboard;
  assertEquals(await unknownMetrics(queriesOf(dashboard)), []);
  assertEquals(new Set(panels.map(({ id }) => id)).size, panels.length);
  assertEquals(templating.list.map(({ name }) => name), [
    "datasource",
    "job",
    "instance",
    "service",
  ]);
  const taken = new Map<string, string>();
  for (const { title, gridPos: { x, y, w, h } } of panels) {
    assert(x + w <= 24, `${title} is too wide`);
    for (let column = x; column < x + w; column++) {
      for (let line = y; line < y + h; line++) {
        const place = `${column} ${line}`;
        assert(!taken.has(place), `${title} lies on ${taken.get(place)}`);
        taken.set(place, title);
      }
    }
  }
});

Deno.test("the alerts use only metrics that exist, and each of them is tested", async () => {
  const rules = await Deno.readTextFile(new URL("alerts.yaml", EXAMPLES));
  const queries = [...rules.matchAll(/^ {8}expr: (.*(?:\n {10}.*)*)/gm)].map(([, expr]) => expr!);
  const names = [...rules.matchAll(/^ {6}- alert: (\w+)$/gm)].map(([, name]) => name!);
  assertEquals(queries.length, names.length);
  assertEquals(await unknownMetrics(queries), []);
  const tests = await Deno.readTextFile(new URL("alerts_test.yaml", EXAMPLES));
  const fires = [...tests.matchAll(/alertname: (\w+)\n +exp_alerts:/g)].map(([, name]) => name!);
  assertEquals([...new Set(fires)].sort(), [...names].sort());
});

testWithPrograms("the alerts fire when they should, and only then", ["promtool"], async () => {
  await promtool(["test", "rules", "alerts_test.yaml"], EXAMPLES);
});

testWithPrograms("Prometheus understands the queries of the dashboard", ["promtool"], async () => {
  const rules = queriesOf(await readDashboard()).map((expr, at) => ({
    record: `query:${at}`,
    expr: expr.replaceAll(/\$__\w+/g, "5m"),
  }));
  const folder = await Deno.makeTempDir({ prefix: "failover-rules-" });
  try {
    // YAML understands JSON.
    const text = JSON.stringify({ groups: [{ name: "dashboard", rules }] });
    await Deno.writeTextFile(`${folder}/rules.yaml`, text);
    await promtool(["check", "rules", "rules.yaml"], folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

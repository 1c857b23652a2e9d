import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { parse } from "@std/yaml";
import { ConfigError } from "../base/config_error.ts";
import { PROGRAM_VARIABLES } from "../base/program_variables.ts";
import { flagOf, KEYS, optionOf, yamlKeyOf } from "./options.ts";
import {
  jsonSchema,
  optionsMarkdown,
  sampleYaml,
  variablesMarkdown,
  withTable,
} from "./reference.ts";
import { configOf, httpOf, tcpOf } from "./testing/config.ts";

Deno.test("the options section has a row for every option", () => {
  const rows = optionsMarkdown().split("\n").filter((line) =>
    line.startsWith("| ") && line.includes("--")
  );
  for (const key of KEYS) {
    assertEquals(
      rows.filter((row) => new RegExp(`\`${flagOf(key)}[\` ]`).test(row)).length,
      1,
      key,
    );
  }
});

Deno.test("a bar in the options section does not break its table", () => {
  for (const row of optionsMarkdown().split("\n").filter((line) => line.startsWith("| "))) {
    assertEquals(row.split(/(?<!\\)\|/).length, 4, row);
  }
});

Deno.test("renewing a table keeps the rest of the page, and a second renewal changes nothing", () => {
  const before = "# Page\n<!-- options:begin -->\nstale row\n<!-- options:end -->\nmore\n";
  const after = withTable(before, "options", "| row |");
  assert(typeof after === "string");
  assert(after.startsWith("# Page\n<!-- options:begin -->\n"));
  assert(after.endsWith("\n<!-- options:end -->\nmore\n"));
  assert(after.includes("\n| row |\n") && !after.includes("stale row"));
  assertEquals(withTable(after, "options", "| row |"), after);
});

Deno.test("a page without markers is refused", () => {
  for (const page of ["", "<!-- options:begin -->", "<!-- options:end --><!-- options:begin -->"]) {
    assert(withTable(page, "options", "") instanceof ConfigError);
  }
});

Deno.test("the sample files load, and give the defaults", () => {
  const fixture = { files: { tcp: sampleYaml("tcp"), http: sampleYaml("http") } };
  const tcp = tcpOf(["--config=tcp"], fixture);
  assertEquals([tcp.hosts.length, tcp.checkInterval, tcp.origins.checkInterval], [
    2,
    2_000,
    "default",
  ]);
  assertEquals(httpOf(["--config=http"], fixture).maxBody, 10 * 1024 ** 2);
});

Deno.test("the sample files load alike when every default is written out", () => {
  for (const mode of ["tcp", "http"] as const) {
    const sample = sampleYaml(mode);
    const written = sample.replaceAll(/^# ([a-z_]+:)/gm, "$1");
    const values = (yaml: string) =>
      JSON.stringify(
        configOf(["--config=f"], { files: { f: yaml } }),
        (name, value) => name === "origins" ? undefined : value,
      );
    assertEquals(values(written), values(sample));
  }
});

Deno.test("the schema knows the keys of the file, at the top and in services", () => {
  const { properties } = jsonSchema() as { properties: Record<string, Record<string, unknown>> };
  const inFile = KEYS.filter((key) => optionOf(key).scope !== "command").map(yamlKeyOf);
  assertEquals(Object.keys(properties), [...inFile, "services"]);
  const service = properties["services"]!["additionalProperties"] as { properties: object };
  assert("hosts" in service.properties && !("log_level" in service.properties));
  assertStringIncludes(JSON.stringify(properties["check_interval"]), '"default":"2s"');
  assert(parse(JSON.stringify(jsonSchema())) !== null);
});

Deno.test("the table of variables has a row for each of them", () => {
  const rows = variablesMarkdown().split("\n");
  assertEquals(rows.length, 2 + Object.keys(PROGRAM_VARIABLES).length);
  assert(rows.some((row) => row.startsWith("| `FAILOVER_PHASE` | ✓ |  | ")), rows.join("\n"));
});

import { assertEquals } from "@std/assert";
import { readYaml } from "./file.ts";

Deno.test("scalars stay text, with the line and the folder that they come from", () => {
  const { top, services, errors } = readYaml(
    "etc/failover.yaml",
    "# a comment\nport: 0x1F\nhosts: [a:1, b:2]\nrelay: off\n",
  );
  assertEquals([errors, services, top.shared], [[], undefined, false]);
  assertEquals(top.entries.get("port"), {
    written: "0x1F",
    origin: "etc/failover.yaml line 2",
    folder: "etc/",
  });
  assertEquals(top.entries.get("hosts")?.written, ["a:1", "b:2"]);
  assertEquals(top.entries.get("relay")?.written, "off");
});

Deno.test("an empty file, an empty value and a file of comments set nothing", () => {
  for (const text of ["", "# nothing\n", "port:\n", 'port: ""\n']) {
    const { top, errors } = readYaml("f.yaml", text);
    assertEquals([top.entries.size, errors], [0, []], text);
  }
});

Deno.test("several services share the options of the top level", () => {
  const { top, services, errors } = readYaml(
    "f.yaml",
    "check_interval: 1s\nservices:\n  db:\n    port: 1\n  web:\n    listen: ':2'\n",
  );
  assertEquals(errors, []);
  assertEquals([top.shared, [...top.entries.keys()]], [true, ["checkInterval"]]);
  assertEquals([...services!.keys()], ["db", "web"]);
  assertEquals(services!.get("db")!.entries.get("name")?.written, "db");
  assertEquals(services!.get("db")!.entries.get("port")?.origin, "f.yaml line 4");
});

Deno.test("each key in a wrong place is an error of one line that says where it belongs", () => {
  const { errors } = readYaml(
    "f.yaml",
    "port: 1\nservices:\n  db:\n    name: x\n    log_level: debug\n    hots: a:1\n  web: 5\n",
  );
  assertEquals(errors, [
    'Cannot use "port" in f.yaml line 1: it belongs to one service: write it under "services"',
    'Cannot use "name" in f.yaml line 4: it is the key under "services" already',
    'Cannot use "log_level" in f.yaml line 5: it is for the whole process: write it at the top level',
    'Unknown key "hots" in f.yaml line 6; did you mean hosts?',
    'Cannot use service "web" in f.yaml line 7: expected its options',
  ]);
});

Deno.test("text that is not YAML, and YAML that is not a mapping, are errors of one line without the contents", () => {
  const broken = readYaml("f.yaml", 'webhook_url: "https://secret\n');
  assertEquals(broken.errors, ["Cannot read f.yaml line 2, column 1: a quote above is not closed"]);
  assertEquals(readYaml("f.yaml", "- a\n").errors, [
    'Cannot use f.yaml: expected "key: value" lines, found a list',
  ]);
});

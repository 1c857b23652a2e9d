import { assertEquals } from "@std/assert";
import { readArguments } from "./arguments.ts";

Deno.test("operands and flags are read as the row of the command says", () => {
  assertEquals(readArguments("drain", ["db2:5432", "orders", "--reason", "disk", "--json"]), {
    operands: { HOST: "db2:5432", SERVICE: "orders" },
    values: { reason: "disk" },
    lists: {},
    switches: new Set<string>(),
    json: true,
    help: false,
  });
  assertEquals(readArguments("switchover", ["--to=b", "--max-wait", "5s"]), {
    operands: {},
    values: { to: "b", "max-wait": "5s" },
    lists: {},
    switches: new Set<string>(),
    json: false,
    help: false,
  });
});

Deno.test("a flag may be given several times if the row of the command says so", () => {
  const read = readArguments("replay", ["x", "--with", "a=1", "--with=b=2"]);
  assertEquals(typeof read === "object" && read.lists, { with: ["a=1", "b=2"] });
  assertEquals(readArguments("replay", ["x", "--with"]), "--with needs a value: OPTION=VALUE");
});

Deno.test("operands that are numbers stay text", () => {
  const read = readArguments("history", ["0012"]);
  assertEquals(typeof read === "object" && read.operands, { ID: "0012" });
});

Deno.test("each error in the arguments is reported", () => {
  assertEquals(readArguments("switchover", []), "switchover needs --to HOST");
  assertEquals(readArguments("switchover", ["--to"]), "--to needs a value: HOST");
  assertEquals(
    readArguments("switchover", ["--to", "a", "--to", "b"]),
    "--to is given more than once",
  );
  assertEquals(readArguments("drain", []), "drain needs HOST");
  assertEquals(readArguments("status", ["a", "b"]), 'status cannot use "b"');
  assertEquals(readArguments("status", ["--reason", "x"]), "status has no flag --reason");
});

Deno.test("--help needs no other argument", () => {
  for (const flag of ["--help", "-h"]) {
    const read = readArguments("switchover", [flag]);
    assertEquals(typeof read === "object" && read.help, true);
  }
});

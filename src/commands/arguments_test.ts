import { assertEquals } from "@std/assert";
import { readArguments } from "./arguments.ts";

Deno.test("operands and flags are read by the row of the command", () => {
  assertEquals(readArguments("drain", ["db2:5432", "orders", "--reason", "disk", "--json"]), {
    operands: { HOST: "db2:5432", SERVICE: "orders" },
    values: { reason: "disk" },
    json: true,
    help: false,
  });
  assertEquals(readArguments("switchover", ["--to=b", "--max-wait", "5s"]), {
    operands: {},
    values: { to: "b", "max-wait": "5s" },
    json: false,
    help: false,
  });
});

Deno.test("numbers stay the text that they are", () => {
  const read = readArguments("history", ["0012"]);
  assertEquals(typeof read === "object" && read.operands, { ID: "0012" });
});

Deno.test("what is wrong with the arguments is said", () => {
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

Deno.test("help needs nothing else", () => {
  for (const flag of ["--help", "-h"]) {
    const read = readArguments("switchover", [flag]);
    assertEquals(typeof read === "object" && read.help, true);
  }
});

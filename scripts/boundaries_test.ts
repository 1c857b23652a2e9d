import { assertEquals, assertMatch } from "@std/assert";
import { breaches } from "./boundaries.ts";

const one = (path: string, text: string) => breaches({ path, text });

Deno.test("an import that the table does not allow is a breach", () => {
  assertMatch(
    one("base/x.ts", `import { a } from "../events/events.ts";\n`)[0]!,
    /base must not import events/,
  );
  assertMatch(
    one("hooks/x.ts", `import type {\n  A,\n} from "../relay/relay.ts";\n`)[0]!,
    /hooks must not import relay/,
  );
  assertMatch(
    one("http1/x.ts", `const { a } = await import("../gateway/gateway.ts");\n`)[0]!,
    /http1 must not import gateway/,
  );
  assertEquals(one("relay/x.ts", `import { a } from "../linux/loop.ts";\n`), []);
});

Deno.test("a file that is named like a test is no part of the program", () => {
  const text = `import { a } from "./self_test.ts";\n`;
  assertMatch(one("linux/x.ts", text)[0]!, /self_test\.ts is named like a test/);
  assertEquals(one("linux/x_test.ts", text), []);
});

Deno.test("a room that is not in the table is a breach", () => {
  assertMatch(one("utils/x.ts", `import { a } from "../base/clock.ts";\n`)[0]!, /not in the table/);
});

Deno.test("clocks, the environment and connections may be used only in their rooms, and comments do not count", () => {
  assertMatch(one("relay/x.ts", "const now = Date.now();\n")[0]!, /Date\.now belongs/);
  assertMatch(one("report/x.ts", "const k = Deno.env.get('K');\n")[0]!, /Deno\.env belongs/);
  assertMatch(one("relay/x.ts", "await Deno.connect({ port });\n")[0]!, /one dialer/);
  assertEquals(one("net/deno/dial.ts", "await Deno.connect({ port });\n"), []);
  assertMatch(one("admin/x.ts", "await listener.accept();\n")[0]!, /one accept loop/);
  assertMatch(one("control/x.ts", "libc.listen(address, options);\n")[0]!, /one way to listen/);
  assertEquals(one("relay/x.ts", "// Date.now would jump\n/* setTimeout */\n"), []);
  assertMatch(one("http2/x.ts", "await crypto.subtle.digest(a, b);\n")[0]!, /event loop/);
  assertEquals(one("base/clock.ts", "Date.now();\n"), []);
});

Deno.test("a file of more than 400 lines is a breach", () => {
  assertEquals(one("base/x.ts", "x\n".repeat(400)), []);
  assertMatch(one("base/x.ts", "x\n".repeat(401))[0]!, /401 lines/);
});

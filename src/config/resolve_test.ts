import { assertEquals } from "@std/assert";
import { ConfigError } from "../base/config_error.ts";
import type { Key } from "./options.ts";
import type { Layer } from "./raw_option.ts";
import {
  badValue,
  badValues,
  inapplicableOptions,
  modeOf,
  resolveProcess,
  resolveService,
} from "./resolve.ts";
import type { Written } from "./kinds.ts";

function layer(values: Readonly<Partial<Record<Key, Written>>>, shared = false): Layer {
  const entries = Object.entries(values).map(([key, written]) =>
    [key as Key, { written: written!, origin: `flag ${key}` }] as const
  );
  return { entries: new Map(entries), shared };
}

Deno.test("the mode follows from the options that name upstreams", () => {
  assertEquals(modeOf([layer({ hosts: "a:1" })]), "tcp");
  assertEquals(modeOf([layer({ backup: "http://b" })]), "http");
  assertEquals(modeOf([layer({})]), undefined);
  assertEquals(modeOf([layer({ primary: "http://a" }), layer({ hosts: "a:1" }, true)]), "http");
  assertEquals(modeOf([layer({ primary: "http://a" }), layer({ hosts: "a:1" })]), {
    error: "Cannot run one service in both modes: hosts (from flag hosts) means TCP mode, " +
      "primary or backup (from flag primary) HTTP mode",
  });
});

Deno.test("the first layer that has an option wins, and no other value is read", () => {
  const errors: string[] = [];
  const layers = [
    layer({ hosts: "a:1", port: "1", hold: "3s" }),
    layer({ hold: "nonsense", grace: "2s" }),
  ];
  const service = resolveService(layers, "tcp", errors, false);
  assertEquals([errors, service.hold, service.grace], [[], 3_000, 2_000]);
});

Deno.test("each required option that is missing is an error, unless the reading is lenient", () => {
  for (const [lenient, count] of [[false, 2], [true, 0]] as const) {
    const errors: string[] = [];
    resolveService([layer({})], "tcp", errors, lenient);
    assertEquals(errors.length, count, errors.join());
  }
});

Deno.test("an option of the other mode is an error, but not in a source that is shared", () => {
  assertEquals(
    inapplicableOptions([layer({ maxBody: "1MB" }), layer({ checkPath: "/" }, true)], "tcp"),
    [
      "Cannot use max_body in TCP mode: it belongs to HTTP mode (from flag maxBody)",
    ],
  );
});

Deno.test("two upstreams with the same text get names of their own", () => {
  const errors: string[] = [];
  const layers = [layer({ primary: "http://a", backup: ["http://a", "http://b"] })];
  const service = resolveService(layers, "http", errors, false);
  assertEquals(errors, []);
  if (service.mode !== "http") throw new Error("the mode is another one");
  assertEquals(service.backup?.map(({ name }) => name), [
    `${service.primary.name} (2)`,
    "http://b",
  ]);
});

Deno.test("an error line never shows a secret", () => {
  const raw = { written: "https://token@chat.example", origin: "flag" };
  const line = badValue("webhookUrl", raw, new ConfigError("a URL"));
  assertEquals(line, 'Cannot use "***" as webhook_url: expected a URL (from flag)');
  assertEquals(badValues([layer({ hold: "soon" })]).length, 1);
});

Deno.test("options of the process have their defaults", () => {
  const errors: string[] = [];
  const { workers, drainTimeout } = resolveProcess([layer({ workers: "3" })], errors);
  assertEquals([errors, workers, drainTimeout], [[], 3, 30_000]);
});

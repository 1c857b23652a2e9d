import { assertEquals, assertStringIncludes } from "@std/assert";
import { formatFor, payloadOf } from "./payload.ts";

Deno.test("the format follows from the host name of the receiver", () => {
  const hosts = [
    "hooks.slack.com",
    "discord.com",
    "ptb.discord.com",
    "notdiscord.com",
    "slack.com",
  ];
  assertEquals(hosts.map((host) => formatFor(new URL(`https://${host}/x`))), [
    "slack",
    "discord",
    "discord",
    "json",
    "json",
  ]);
});

Deno.test("the output of a check program can neither notify a whole channel nor exceed the maximum length", () => {
  const notice = {
    id: "1",
    kind: "failover",
    service: "shop",
    time: 0,
    from: "a",
    to: "b",
    reason: `<!channel> @everyone & ${"x".repeat(9_000)}`,
    interruptedMs: 0,
    incident: { startedAt: 0, reason: "", lastedMs: 0, finished: false },
    record: undefined,
    clients: {},
  } as const;
  const slack = payloadOf("slack", notice) as { text: string };
  assertStringIncludes(slack.text, "&lt;!channel&gt; @everyone &amp; x");
  const discord = payloadOf("discord", notice) as { content: string; allowed_mentions: unknown };
  assertEquals(discord.content.length, 2_000);
  assertEquals(discord.allowed_mentions, { parse: [] });
});

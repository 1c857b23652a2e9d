/** Upstreams over TLS that misbehave in their handshake, or later, against the real program. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { type TestTls, tlsTest } from "../gateway/certificate.ts";
import { Folder } from "../harness/folder.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { ScriptedTls } from "../harness/scripted_tls.ts";
import { startWebProxy } from "../harness/web_proxy.ts";

/** What the upstream does with a connection, and the words for it. */
const HANDSHAKES = [
  ["stall", /no answer|in the TLS handshake/],
  ["close", /TLS handshake failed/],
  ["reset", /TLS handshake failed|reset/],
  ["garbage", /TLS handshake failed/],
  ["half", /TLS handshake failed|in the TLS handshake/],
] as const;

/** Long enough for an upstream that is well, also on a busy machine. */
const STALLS = {
  "connect-timeout": "3s",
  "check-timeout": "3s",
  "hold": "1m",
};

for (const [what, words] of HANDSHAKES) {
  tlsTest(
    `a request goes to the backup when the active upstream's handshake is to ${what}`,
    async (tls: TestTls) => {
      await using folder = await Folder.make();
      const ca = await folder.write("ca.pem", tls.cert);
      await using primary = new ScriptedTls(tls, "primary");
      await using backup = new ScriptedTls(tls, "backup");
      await using proxy = await startWebProxy({
        primary: { url: primary.url },
        backups: [{ url: backup.url }],
        flags: { "ca-file": ca, relay: tls.relay, ...STALLS },
      });
      // On a busy machine the backup may be the first to pass.
      await proxy.event("promotion.finished", { to: primary.url });
      assertEquals((await proxy.get("/")).text, "primary");
      primary.behave(what);
      // Whoever asks meanwhile gets an answer, and none of them a wrong one.
      const texts = await Promise.all(Array.from({ length: 10 }, () => proxy.get("/")));
      for (const { text, status } of texts) assertEquals([status, text], [200, "backup"]);
      const down = await proxy.event("upstream.down", { upstream: primary.url });
      assertMatch(String(down.message), words);
      primary.behave("well");
      await proxy.event("promotion.finished", { to: primary.url, move: "failback" }, down);
      assertEquals((await proxy.get("/")).text, "primary");
      assertEquals(proxy.events("proxy.faulted"), []);
      assert(primary.count > 0);
    },
  );
}

for (const version of ["-tls1_2", "-tls1_3"]) {
  tlsTest(
    `the next connection to an upstream resumes the session of the one before (${version})`,
    async (tls) => {
      const port = unusedPort();
      // It answers each request with a page about the connection, and closes that.
      const args = ["s_server", "-www", "-accept", `127.0.0.1:${port}`, version];
      const server = new Deno.Command("openssl", {
        args: [...args, "-cert", tls.certPath, "-key", tls.keyPath],
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).spawn();
      try {
        await using proxy = await startWebProxy({
          primary: { url: `https://localhost:${port}` },
          flags: { "ca-file": tls.certPath },
        });
        const isReused = async () => /^Reused, TLSv1\.\d/m.test((await proxy.get("/")).text);
        const reused = async () => {
          while (!await isReused());
        };
        // The first one of the thread has nothing to resume; later ones are short of it only if a ticket was lost.
        await withTestDeadline("a session that is resumed", reused(), proxy.lastLines);
        assertEquals(proxy.events("proxy.faulted"), []);
      } finally {
        server.kill("SIGKILL");
        await server.status;
      }
    },
    ["splice"],
  );
}

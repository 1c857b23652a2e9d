/** A failover in a real browser: a page with assets, WebSocket and event stream. */
import { assert, assertEquals } from "@std/assert";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { tlsTest } from "../gateway/certificate.ts";
import { BROWSER, Browser } from "../harness/browser.ts";
import { isInstalled, testWithPrograms } from "../harness/scenario.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

/** True when the last message of every kind came from `name`. */
const allFrom = (name: string) =>
  `Object.values(heard).slice(0, 3).every((list) => list.at(-1) === "${name}")`;

/** Shown when a test fails. */
const LAST_HEARD = "[errors, Object.values(heard).map((list) => list.slice(-3))]";

testWithPrograms(
  "a page with assets, a WebSocket and an event stream sees no error while the primary is killed and comes back",
  BROWSER,
  async () => {
    await using primary = await WebUpstream.start("primary");
    await using backup = await WebUpstream.start("backup");
    await using proxy = await startWebProxy({ primary, backups: [backup] });
    await using browser = await Browser.start();

    const sees = (condition: string) => browser.until(condition, LAST_HEARD, proxy.lastLines);
    await browser.open(`http://${proxy.address}/page`);
    assertEquals(await browser.run("return getComputedStyle(document.body).color"), "rgb(1, 2, 3)");
    await sees("heard.assets.length === 2");
    await sees(allFrom("primary"));

    await primary.kill();
    await sees(allFrom("backup"));
    const moved = await proxy.event("promotion.finished", { move: "failover" });
    await primary.restart();
    await proxy.event("promotion.finished", { move: "failback" }, moved);
    await sees(`heard.requests.at(-1) === "primary"`);
    // Connections to the backup stay there: it is up, and cutting them would be a second outage.
    await backup.ask("/push?event=still");
    await sees(`heard.events.at(-1) === "still"`);

    assertEquals(await browser.run("return errors"), []);
    const count = await browser.run("return heard.requests.length") as number;
    assert(count > 20, `${count} requests`);
    const uncaught = (await browser.console()).filter(({ message }) =>
      // The two connections that the kill cut, and that the page and the browser reopened.
      !/\/(socket|events)\b/.test(message)
    );
    assertEquals(uncaught, []);
  },
);

tlsTest("over HTTP/2 a page has its WebSocket on the same connection (RFC 8441)", async (tls) => {
  if (!BROWSER.every(isInstalled)) return;
  await using folder = await Folder.make();
  await using primary = await WebUpstream.start("primary");
  const flags = {
    ...{ "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay },
    ...{ "access-log": folder.at("access.log"), "access-log-format": "json" },
  };
  await using proxy = await startWebProxy({ primary, flags });
  await using browser = await Browser.start(["--ignore-certificate-errors"]);
  await browser.open(`https://localhost:${proxy.address.split(":")[1]}/page`);
  await browser.until(allFrom("primary"), LAST_HEARD, proxy.lastLines);
  const protocol = "performance.getEntriesByType('navigation')[0].nextHopProtocol";
  assertEquals(await browser.run(`return ${protocol}`), "h2");
  assertEquals(await browser.run("return errors"), []);
  // One that ends gets its line.
  const socket = "new WebSocket(location.origin.replace('http', 'ws') + '/socket')";
  await browser.run(`const own = ${socket}; own.onmessage = () => own.close();`);
  const logged = async () => {
    for (;;) {
      const text = await Deno.readTextFile(folder.at("access.log"));
      if (text.includes("/socket")) return text.trim().split("\n");
      await browser.run("return 0");
    }
  };
  const lines = await withTestDeadline("a line for a WebSocket", logged(), proxy.lastLines);
  const records = lines.map((line) => JSON.parse(line) as { protocol: string });
  assertEquals([...new Set(records.map((each) => each.protocol))], ["HTTP/2.0"]);
});

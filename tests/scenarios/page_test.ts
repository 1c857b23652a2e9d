/** The operator's page in a real browser: its content, its updates during a failover, and its buttons. */
import { assert, assertEquals } from "@std/assert";
import { BROWSER, Browser } from "../harness/browser.ts";
import { runCommand } from "../harness/command.ts";
import { Control } from "../harness/control.ts";
import { Folder } from "../harness/folder.ts";
import { startProxy } from "../harness/proxy.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const MAIN = "document.getElementById('state').textContent.replace(/\\s+/g, ' ')";
const shows = (text: string) => `${MAIN}.includes(${JSON.stringify(text)})`;
const click = (selector: string) =>
  `document.querySelector(${JSON.stringify(selector)})?.click(); return true`;

testWithPrograms(
  "the page shows a failover while it happens, and accepts orders only with the token",
  BROWSER,
  async () => {
    await using folder = await Folder.make();
    await using control = await Control.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const admin = `127.0.0.1:${unusedPort()}`;
    const token = "a-secret-of-24-characters";
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: {
        ...{ admin, control: control.path },
        "admin-token-file": await folder.write("token", token),
      },
    });
    await proxy.event("upstream.up", { upstream: backup.name });
    await using browser = await Browser.start();
    const sees = (condition: string) => browser.until(condition, MAIN, proxy.lastLines);

    await browser.open(`http://${admin}/__failover/`);
    await sees(shows(`${primary.name}, the primary, serves`));
    await sees(`document.getElementById("connection").textContent.endsWith("live.")`);
    await sees(shows(`Yes: ${backup.name}`));
    // It stays expanded while its content is replaced.
    await browser.run(click("details summary"));

    await primary.kill();
    await sees(shows(`${backup.name}, backup 1, serves`));
    await sees(shows("connection refused"));
    await sees(shows(`failover from ${primary.name} to ${backup.name}`));
    await sees(`document.querySelectorAll("details[open]").length === 1`);
    const said = `document.getElementById("announcement").textContent.includes("backup 1, serves")`;
    await sees(said);

    await browser.run(click("button[data-order=pause]"));
    await browser.run(`document.getElementById("order-reason").value = "a look"; return 1`);
    await browser.run(click("#order-do"));
    await sees(`document.getElementById("order-error").textContent.includes("token")`);
    await browser.run(`document.getElementById("order-token").value = "${token}"; return 1`);
    await browser.run(click("#order-do"));
    await proxy.event("service.paused", { reason: "a look" });
    await sees(shows("Paused by"));
    const command = await runCommand(["page", "--control", control.path]);
    assertEquals(command.code, 0, command.err);
    assert(command.out.includes(`http://${admin}/__failover/`), command.out);
    assert(command.out.includes(`ssh -N -L 9911:${control.path} `), command.out);
    await browser.run(click("button[data-order=resume]"));
    await browser.run(click("#order-do"));
    await proxy.event("service.resumed");

    for (const width of [390, 1_400]) {
      await browser.emulate(width, 900);
      await sees(`document.documentElement.scrollWidth <= ${width}`);
      assert((await browser.screenshot()).length > 10_000);
    }
    const uncaught = (await browser.console()).filter(({ message }) => !/ 401 /.test(message));
    assertEquals(uncaught, []);
  },
);

testWithPrograms("without JavaScript the page shows the present state", BROWSER, async () => {
  await using primary = await startUpstream({ says: "primary" });
  const admin = `127.0.0.1:${unusedPort()}`;
  await using proxy = await startProxy({ upstreams: [primary], flags: { admin } });
  await proxy.event("promotion.finished");
  await using browser = await Browser.start();
  await browser.withoutScripts();
  await browser.open(`http://${admin}/__failover/`);
  const text = await browser.text("main");
  assert(text.includes(`${primary.name}, the primary, serves since`), text);
});

/** The ports of services that a reload removes: when another service can have them. */
import { assertEquals } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { runCommand } from "../harness/command.ts";
import { Folder } from "../harness/folder.ts";
import { startReloaded } from "../harness/reloaded.ts";
import { scenario } from "../harness/scenario.ts";
import { askSteadily, SteadyCount } from "../harness/steady_clients.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startUpstream } from "../harness/upstream.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

/** Clients that open a connection for each request. */
const CLIENTS = 8;

/** In the file of a service. */
const NOT_PAUSED = /"paused": *null/;
const PAUSED = /"paused": *\{/;

scenario(
  "the port of a service that a reload has removed is free for the next reload, also under load",
  async (relay) => {
    await using web = await WebUpstream.start("web");
    await using tcp = await startUpstream({ says: "tcp" });
    const [listen, bind] = [`127.0.0.1:${unusedPort()}`, `127.0.0.1:${unusedPort()}`];
    const stays = { hosts: tcp.name, bind: `127.0.0.1:${unusedPort()}`, ...relay };
    const services = (round: number) => ({
      stays,
      [`web${round}`]: { primary: web.url, listen, ...relay },
      [`tcp${round}`]: { hosts: tcp.name, bind, ...relay },
    });
    await using proxy = await startReloaded({ services: services(0) });
    const loads: Promise<void>[] = [];
    for (let round = 1; round <= 4; round++) {
      await proxy.event("promotion.finished", { service: `web${round - 1}` });
      await proxy.event("promotion.finished", { service: `tcp${round - 1}` });
      await proxy.event("port.opened", { service: `tcp${round - 1}` });
      assertEquals(await proxy.askAt(bind), "tcp");
      const count = new SteadyCount();
      const reached = count.reaches(50);
      loads.push(askSteadily(listen, CLIENTS, { fresh: true, pauseMs: 0 }, count));
      await reached;

      const [gone] = await proxy.reloadAtOnce({ services: { stays } });
      assertEquals(gone, 200);
      const [status, { errors }] = await proxy.reloadAtOnce({ services: services(round) });

      assertEquals([status, errors], [200, []], proxy.lastLines());
      await proxy.event("port.opened", { service: `web${round}`, address: listen });
      await proxy.event("port.opened", { service: `tcp${round}`, address: bind });
    }
    await proxy.stop();
    // Clients that have seen no refusal went on with the next service.
    await Promise.all(loads);
  },
);

scenario(
  "a service that comes again while its last sessions end remembers all in its file, also after their end",
  async (relay) => {
    await using folder = await Folder.make();
    await using tcp = await startUpstream({ says: "tcp" });
    const address = () => `127.0.0.1:${unusedPort()}`;
    const [process, bind] = [{ state_dir: folder.at("state"), drain_timeout: "1s" }, address()];
    const stays = { hosts: tcp.name, bind: address(), ...relay };
    const again = { hosts: tcp.name, bind, ...relay };
    await using proxy = await startReloaded({ ...process, services: { stays, again } });
    const opened = await proxy.event("port.opened", { service: "again" });
    using session = await proxy.session(bind);
    assertEquals(await session.ask(), "tcp");
    assertEquals((await proxy.reloadAtOnce({ ...process, services: { stays } }))[0], 200);
    assertEquals((await proxy.reloadAtOnce({ ...process, services: { stays, again } }))[0], 200);
    await proxy.event("port.opened", { service: "again" }, opened);
    assertEquals(await proxy.askAt(bind), "tcp");

    // By then the service of the first config has ended.
    await session.ends();
    const isStored = async (words: RegExp) => {
      while (!words.test(await folder.read("state/again.state.json")));
    };
    const order = (name: string) => runCommand([name, "again", "--control", proxy.control]);
    for (let times = 0; times < 3; times++) {
      assertEquals((await order("pause")).code, 0);
      await withTestDeadline("the pause on disk", isStored(PAUSED), proxy.lastLines);
      assertEquals((await order("resume")).code, 0);
      await withTestDeadline("its end on disk", isStored(NOT_PAUSED), proxy.lastLines);
    }
  },
);

scenario(
  "a port cannot go from one service to another in one reload, which says so and changes nothing",
  async (relay) => {
    await using web = await WebUpstream.start("web");
    await using tcp = await startUpstream({ says: "tcp" });
    const [listen, bind] = [`127.0.0.1:${unusedPort()}`, `127.0.0.1:${unusedPort()}`];
    const old = {
      web: { primary: web.url, listen, ...relay },
      tcp: { hosts: tcp.name, bind, ...relay },
    };
    await using proxy = await startReloaded({ services: old });
    await proxy.event("promotion.finished", { service: "tcp" });
    await proxy.event("port.opened", { service: "tcp" });

    const { code, err } = await proxy.reload({
      services: {
        web2: { primary: web.url, listen, ...relay },
        tcp2: { hosts: tcp.name, bind, ...relay },
      },
    });

    const line = (place: string, next: string, owner: string) =>
      `failover: Cannot open ${place} for service ${next}: it is the port of service ${owner}, ` +
      "and for another one needs a restart";
    assertEquals([code, err.split("\n")], [2, [
      line(listen, "web2", "web"),
      line(bind, "tcp2", "tcp"),
    ]]);
    assertEquals(await proxy.askAt(bind), "tcp");
    assertEquals((await proxy.states()).services.length, 2);
  },
);

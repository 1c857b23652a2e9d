/** The ports of services that a reload removes: when another service can have them. */
import { assertEquals } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { startReloaded } from "../harness/reloaded.ts";
import { scenario } from "../harness/scenario.ts";
import { askSteadily, SteadyCount } from "../harness/steady_clients.ts";
import { startUpstream } from "../harness/upstream.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

/** Clients that open a connection for each request. */
const CLIENTS = 8;

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

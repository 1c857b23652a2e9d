/** Endpoints with names, which the client looks up, and with TLS `fetch` as well. */
import { assertEquals, assertRejects } from "@std/assert";
import { realClock } from "../base/clock.ts";
import { certificateFor } from "../net/testing/certificate.ts";
import { ETCD, EtcdCluster } from "../../tests/harness/etcd.ts";
import { EtcdClient, type EtcdSettings } from "./etcd_client.ts";
import { EtcdError } from "./etcd.ts";

const PREFIX = "/failover/v1/test/svc/";

function clientOf(endpoints: readonly string[], more: Partial<EtcdSettings>): EtcdClient {
  return new EtcdClient({ endpoints, prefix: PREFIX, callMs: 20_000, ...more }, realClock);
}

Deno.test({
  name:
    "EtcdClient looks names up by what it was given, and a silent name delays no longer than a call",
  ignore: ETCD === undefined,
  fn: async () => {
    await using etcd = await EtcdCluster.start(1);
    const { port } = new URL(etcd.endpoints[0]!);
    const tried: string[] = [];
    const names = {
      addressesOf: (host: string) =>
        host === "silent.test"
          ? new Promise<never>(() => {})
          : Promise.resolve(host === "etcd.test" ? ["127.0.0.1"] : []),
      tried: (host: string, ip: string, isConnected: boolean) =>
        void tried.push(`${host} ${ip} ${isConnected}`),
      mayLookUp: () => false,
    };
    const more = { callMs: 8_000, names };
    using client = clientOf([`http://silent.test:${port}`, `http://etcd.test:${port}`], more);
    await client.read();
    assertEquals([client.endpoint, tried], [`http://etcd.test:${port}`, [
      "etcd.test 127.0.0.1 true",
    ]]);
    using unknown = clientOf([`http://unknown.test:${port}`], { names });
    await assertRejects(() => unknown.read(), EtcdError, "unknown.test has no address");
  },
});

Deno.test("EtcdClient lets fetch look a name up that is not answered only if it may, and only after a failure", async () => {
  const { cert, key } = await certificateFor("localhost");
  const header = { cluster_id: "7", revision: "1", raft_term: "1" };
  const listen = { hostname: "127.0.0.1", port: 0, cert, key, onListen: () => {} };
  const server = Deno.serve(listen, () => Response.json({ header }));
  let [mayLookUp, asked] = [false, 0];
  const names = {
    addressesOf: () => Promise.resolve(["127.0.0.1"]),
    tried: () => {},
    mayLookUp: () => {
      asked++;
      return mayLookUp;
    },
  };
  const tls = () => Promise.resolve({ ca: cert });
  using client = clientOf([`https://localhost:${server.addr.port}`], { names, tls });
  await client.read();
  await client.read();
  assertEquals(asked, 0);
  await server.shutdown();
  await assertRejects(() => client.read(), EtcdError);
  const silent = "the name service does not answer for localhost";
  await assertRejects(() => client.read(), EtcdError, silent);
  mayLookUp = true;
  const { message } = await assertRejects(() => client.read(), EtcdError);
  assertEquals([message.includes(silent), asked], [false, 2]);
});

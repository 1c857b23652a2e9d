import { assertEquals } from "@std/assert";
import { httpOf, tcpOf } from "../config/testing/config.ts";
import { newClientTables } from "../net/client_limit.ts";
import { portRefusals, refusalsOf, socketRefusals } from "./refusals.ts";

const PLAIN = ["--primary", "http://a.example", "--backup", "http://b.example"];
const TLS = ["--tls-cert", "c.pem", "--tls-key", "k.pem"];
const READY = { whyNotReconfigured: () => undefined };

Deno.test("a port that is open cannot begin to speak HTTPS, nor end", () => {
  const [plain, secure] = [httpOf(PLAIN), httpOf([...PLAIN, ...TLS])];
  assertEquals([portRefusals(plain, plain), portRefusals(secure, secure)], [[], []]);
  assertEquals(portRefusals(plain, secure), [
    "Cannot change tls_cert and tls_key of service http while it runs: it is what clients of the open port speak; that needs a restart (from flag --tls-cert, flag --tls-key)",
  ]);
  assertEquals(portRefusals(secure, plain).length, 1);
});

Deno.test("a service in threads cannot change to an upstream that needs other sockets", async () => {
  const plain = httpOf(PLAIN);
  assertEquals(await socketRefusals(plain, httpOf(["--primary", "http://c.example"])), []);
  const secure = httpOf(["--primary", "https://c.example"]);
  const [line] = await socketRefusals(plain, secure, "there is no OpenSSL");
  assertEquals(
    line,
    "Cannot change primary and backup of service http while it runs: there is no OpenSSL; that needs a restart (from flag --primary)",
  );
});

Deno.test("clients that are connected already cannot be limited one by one", () => {
  const bare = ["--hosts", "a:1", "--bind", "127.0.0.1:1"];
  const limited = tcpOf([...bare, "--max-connections-per-client", "5"]);
  assertEquals(refusalsOf(READY, tcpOf(bare), {}, []), []);
  assertEquals(refusalsOf(READY, limited, { clientTables: newClientTables(9, 9, 1) }, []), []);
  assertEquals(refusalsOf(READY, limited, {}, []), [
    "Cannot set max_connections_per_client of service tcp to 5 while it runs: nobody has counted the clients that are connected; that needs a restart (from flag --max-connections-per-client)",
  ]);
});

Deno.test("a moment at which the list cannot change is named", () => {
  const control = { whyNotReconfigured: () => "another process is taking over" };
  assertEquals(refusalsOf(control, tcpOf(["--hosts", "a:1", "--bind", "127.0.0.1:1"]), {}, []), [
    "Cannot change service tcp now: another process is taking over",
  ]);
});

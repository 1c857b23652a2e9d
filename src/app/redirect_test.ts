import { assertEquals } from "@std/assert";
import { httpOf } from "../config/testing/config.ts";
import { redirectAddress, redirection } from "./redirect.ts";

function ask(url: string, port: number): [number, string | null] {
  const { host } = new URL(url);
  const response = redirection({ url, headers: new Headers({ host }) }, port);
  return [response.status, response.headers.get("location")];
}

Deno.test("the same path and query are asked for over HTTPS, with the same method", () => {
  assertEquals(ask("http://a.test/b%20c?d=%3F", 443), [308, "https://a.test/b%20c?d=%3F"]);
  assertEquals(ask("http://a.test:8080/", 8443), [308, "https://a.test:8443/"]);
  assertEquals(ask("http://[::1]:8080/x", 443), [308, "https://[::1]/x"]);
  const nameless = redirection({ url: "http://localhost/", headers: new Headers() }, 443);
  assertEquals(nameless.status, 400);
  const odd = { url: "http://localhost/", headers: new Headers({ host: "a b" }) };
  assertEquals(redirection(odd, 443).status, 400);
});

Deno.test("it listens on the address of the service", () => {
  const args = ["--primary=http://p", "--tls-cert=c", "--tls-key=k"];
  const listen = "--listen=127.0.0.1:8443";
  assertEquals(redirectAddress(httpOf([...args, listen])), undefined);
  assertEquals(redirectAddress(httpOf([...args, listen, "--redirect-http=8080"])), {
    kind: "tcp",
    host: "127.0.0.1",
    port: 8080,
  });
});

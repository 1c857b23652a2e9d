import { assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { EtcdError } from "./etcd.ts";
import { type Authenticate, Login } from "./login.ts";

const A = "http://a:2379";
const B = "http://b:2379";

/** Log-ins that a test answers, and how many were made. */
function world() {
  const clock = new ManualClock();
  const login = new Login({ name: "app", password: () => Promise.resolve("pw") }, clock);
  const waiting: PromiseWithResolvers<string | undefined>[] = [];
  const authenticate: Authenticate = () => {
    const answer = Promise.withResolvers<string | undefined>();
    waiting.push(answer);
    return answer.promise;
  };
  return { clock, login, waiting, authenticate };
}

Deno.test("Login: who asks while a log-in is under way gets its token, and later ones as well", async () => {
  const { login, waiting, authenticate } = world();
  const both = [login.tokenFrom(A, authenticate), login.tokenFrom(A, authenticate)];
  assertEquals(waiting.length, 1);
  waiting[0]!.resolve("t1");
  assertEquals(await Promise.all(both), ["t1", "t1"]);
  assertEquals(await login.tokenFrom(B, authenticate), "t1");
  assertEquals(waiting.length, 1);
});

Deno.test("Login: a token that is over is replaced once, whoever says so", async () => {
  const { login, waiting, authenticate } = world();
  const first = login.tokenFrom(A, authenticate);
  waiting[0]!.resolve("t1");
  await first;
  login.mayBeOver("t1");
  const second = login.tokenFrom(A, authenticate);
  waiting[1]!.resolve("t2");
  assertEquals(await second, "t2");
  // A call that was sent with the old token fails late: the new one is kept.
  login.mayBeOver("t1");
  assertEquals(await login.tokenFrom(A, authenticate), "t2");
  assertEquals(waiting.length, 2);
});

Deno.test("Login: an endpoint that does not answer does not hinder a log-in at another one", async () => {
  const { login, waiting, authenticate } = world();
  const silent = login.tokenFrom(A, authenticate);
  const other = login.tokenFrom(B, authenticate);
  waiting[1]!.resolve("t1");
  assertEquals(await other, "t1");
  waiting[0]!.reject(new EtcdError("unreachable", "no answer in time"));
  await assertRejects(() => silent, EtcdError, "no answer in time");
  login.mayBeOver("t1");
  const again = login.tokenFrom(A, authenticate);
  waiting[2]!.resolve("t2");
  assertEquals(await again, "t2");
});

Deno.test("Login: a refusal counts for a while, and then the password is tried again", async () => {
  const { clock, login, waiting, authenticate } = world();
  const refused = login.tokenFrom(A, authenticate);
  waiting[0]!.reject(new EtcdError("refused", "invalid user ID or password"));
  await assertRejects(() => refused, EtcdError, "invalid user ID");
  await assertRejects(() => login.tokenFrom(B, authenticate), EtcdError, "invalid user ID");
  assertEquals(waiting.length, 1);
  await clock.advance(1_000);
  const again = login.tokenFrom(A, authenticate);
  waiting[1]!.resolve("t1");
  assertEquals(await again, "t1");
});

Deno.test("Login: etcd without users wants no token, and may want one later", async () => {
  const { login, waiting, authenticate } = world();
  const none = login.tokenFrom(A, authenticate);
  waiting[0]!.resolve(undefined);
  assertEquals(await none, undefined);
  login.mayBeOver(undefined);
  const one = login.tokenFrom(A, authenticate);
  waiting[1]!.resolve("t1");
  assertEquals(await one, "t1");
});

/**
 * Faults aimed at a moment: the leader is stopped or killed at one step of a failover or switchover, which the fault
 * causes itself.
 */
import type { End, Fault } from "./faults.ts";
import { LEASE_MS, type Member } from "./proxy_cluster.ts";
import { pause, type Scene } from "./scene.ts";

/** How long a fault waits for its moment, in milliseconds. */
const MOMENT_MS = 8_000;
/** How long a trigger takes in which something is to happen, in seconds. */
const SLOW_S = 9;

/** A failover that is about to happen. */
interface Aim {
  readonly leader: Member;
  /** The epoch before it. */
  readonly epoch: number;
  /** Lines of triggers before it. */
  readonly lines: number;
}

/** The steps at which the leader can die; each resolves with whether its moment has come. */
const STEPS: Readonly<Record<string, (scene: Scene, aim: Aim) => Promise<boolean>>> = {
  "before its decision is stored": async (scene, { leader, epoch }) => {
    // The key of the decision is in no other request than that which stores it.
    const caught = leader.ways.map((way) => way.trap(btoa(scene.cluster.history.decisionKey)));
    const isCaught = await Promise.race([...caught.map((each) => each.then(() => true)), late()]);
    leader.cut("there");
    return isCaught && (await scene.decision())?.epoch === epoch;
  },
  "when its decision is stored": async (scene, { epoch }) =>
    await scene.until(MOMENT_MS, async () => {
      const now = await scene.decision();
      return now !== undefined && now.epoch > epoch && now.phase === "promoting";
    }) === true,
  "while its trigger runs": async (scene, { lines }) =>
    await scene.until(MOMENT_MS, () => scene.line("begin", lines)) !== undefined,
  "when its trigger has ended, before that is stored": async (scene, { leader, lines }) => {
    if (await scene.until(MOMENT_MS, () => scene.line("begin", lines)) === undefined) return false;
    leader.cut("there");
    return await scene.until(MOMENT_MS, () => scene.line("end", lines)) !== undefined;
  },
  "when it is done": async (scene, { epoch }) =>
    await scene.until(MOMENT_MS, async () => {
      const now = await scene.decision();
      return now !== undefined && now.epoch > epoch && now.phase === "done";
    }) === true,
};

/** How long the trigger takes at each step, in seconds; as usual if it is not here. */
const SECONDS: Readonly<Record<string, number>> = {
  "while its trigger runs": SLOW_S,
  "when its trigger has ended, before that is stored": 0.3,
};

async function late(): Promise<boolean> {
  await pause(MOMENT_MS);
  return false;
}

/** Sets how long the triggers take that follow, until `end`. */
async function slowTriggers({ cluster }: Scene, seconds: number): Promise<End> {
  const names = ["seconds-failover", "seconds-switchover", "seconds-failback"];
  for (const name of names) await cluster.folder.write(name, String(seconds));
  return async () => {
    for (const name of names) await Deno.remove(cluster.folder.at(name)).catch(() => {});
  };
}

/** Causes a move; undefined if there can be none now. The server that is killed for it comes back with `end`. */
async function cause(scene: Scene): Promise<{ readonly aim: Aim; readonly end: End } | undefined> {
  const { cluster, postgres } = scene;
  const isReady = () => postgres === undefined || postgres.isWhole;
  if (await scene.until(MOMENT_MS, isReady) === undefined) return undefined;
  const [leader, decision] = [await scene.leader(), await scene.decision()];
  if (leader === undefined || decision?.phase !== "done") return undefined;
  const aim = { leader, epoch: decision.epoch, lines: (await cluster.triggers()).length };
  const active = scene.serverNamed(decision.to);
  await active.kill();
  return { aim, end: () => active.start() };
}

/** Kills the leader at one step. */
function killAt(step: string): Fault {
  return {
    async begin(scene): Promise<End | undefined> {
      const seconds = SECONDS[step];
      const usual = seconds === undefined ? () => {} : await slowTriggers(scene, seconds);
      const caused = await cause(scene);
      if (caused === undefined) return void await usual();
      const { aim, end } = caused;
      const isMoment = await STEPS[step]!(scene, aim);
      const again = await scene.killProxy(aim.leader);
      await usual();
      if (!isMoment) scene.missed();
      return async () => {
        await Promise.all([again?.(), end()]);
      };
    },
  };
}

export const AIMED: Readonly<Record<string, Fault>> = {
  ...Object.fromEntries(
    Object.keys(STEPS).map((step) => [`kill -9 of the leader ${step}`, killAt(step)]),
  ),
  "SIGSTOP of the leader for longer than its lease while its trigger runs": {
    async begin(scene): Promise<End | undefined> {
      const usual = await slowTriggers(scene, SLOW_S);
      const caused = await cause(scene);
      if (caused === undefined) return void await usual();
      const { aim: { leader, lines }, end } = caused;
      const begun = await scene.until(MOMENT_MS, () => scene.line("begin", lines));
      if (begun === undefined) scene.missed();
      leader.proxy.signal("SIGSTOP");
      await pause(LEASE_MS + 2_000);
      await usual();
      return async () => {
        leader.proxy.signal("SIGCONT");
        await end();
      };
    },
  },
};

/** Orders of the operator, given to any proxy while faults happen. */
import type { End, Fault } from "./faults.ts";
import { pause, type Scene } from "./scene.ts";

/** How long a proxy may take to answer, in milliseconds. */
const ORDER_MS = 3_000;
/** How often an order that must count in the end is given, until a proxy takes it. */
const ATTEMPTS_MAX = 40;
const AGAIN_MS = 500;

/** Gives an order to a proxy; resolves with whether it was taken. */
async function order({ cluster }: Scene, number: number, text: string): Promise<boolean> {
  try {
    const [status] = await cluster.members[number]!.control.order(text, ORDER_MS);
    return status === 200 || status === 202;
  } catch {
    // The proxy is dead, stopped, or waits for etcd.
    return false;
  }
}

/** Gives an order until a proxy carries it out. */
async function untilTaken(scene: Scene, text: string): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const number = attempt % scene.cluster.members.length;
    if (await order(scene, number, `${text}${text.includes("?") ? "&" : "?"}wait=true`)) return;
    await pause(AGAIN_MS);
  }
}

/** An order that ends by itself. */
function once(text: (scene: Scene) => string): Fault {
  return {
    async begin(scene): Promise<End | undefined> {
      const number = scene.dice.under(scene.cluster.members.length);
      return await order(scene, number, text(scene)) ? () => {} : undefined;
    },
  };
}

/** An order that counts until the opposite one. */
function standing(text: (scene: Scene) => readonly [string, string]): Fault {
  return {
    async begin(scene): Promise<End | undefined> {
      const number = scene.dice.under(scene.cluster.members.length);
      const [begin, end] = text(scene);
      // Without an answer it may count all the same.
      await order(scene, number, begin);
      return () => untilTaken(scene, end);
    },
  };
}

export const ORDERS: Readonly<Record<string, Fault>> = {
  "order: switchover": once(({ cluster, dice }) =>
    `switchover?to=${dice.once(2) ? cluster.first.name : cluster.second.name}`
  ),
  "order: failback": once(() => "failback"),
  "order: pause, then resume": standing(() => ["pause", "resume"]),
  "order: drain, then undrain": standing(({ cluster, dice }) => {
    const { name } = dice.once(2) ? cluster.first : cluster.second;
    return [`drain?upstream=${name}`, `undrain?upstream=${name}`];
  }),
};

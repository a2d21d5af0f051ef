// A workflow in TypeScript, whose type a program takes.
import { workflow } from "flawless";

export interface Order {
	item: string;
	cents: number;
}

export default workflow("checkout", async (o: Order, { run }) => ({ charge: `${run}: ${o.cents}` }));

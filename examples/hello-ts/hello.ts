// The smallest workflow in TypeScript that does something: it logs a line, waits a second and greets.
import { sleep, workflow } from "flawless"

const Person = { type: "object", properties: { name: { type: "string" } }, required: ["name"] }

export default workflow("hello-ts", async (p: { name: string }) => {
  console.log("waiting a second for", p.name)
  await sleep("1s")
  return { greeting: `Hello, ${p.name}!`, at: Date.now() }
}, { doc: "Greets somebody after a second.", input: Person })

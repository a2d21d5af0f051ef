import { hc } from "hono/client"
import { workflow } from "flawless"
workflow("hono", async () => {
  const client = hc<any>("https://api.example") as any
  const r = await client.orders.$post({ json: { id: "o-1" } })
  return r.status
})

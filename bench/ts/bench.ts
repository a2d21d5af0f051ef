// The workflows of the section ts.
import { workflow } from "flawless"

workflow("empty", () => null)

// A chain of POSTs, one after another, as the guests in Rust have it.
workflow("chain", async ([url, n]: [string, number]) => {
  const body = JSON.stringify({ amount: 1999, currency: "EUR" })
  for (let k = 0; k < n; k++) await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body })
  return n
})

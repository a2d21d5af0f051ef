import { z } from "zod"
import { workflow } from "flawless"
const Order = z.object({ id: z.string().min(1), amount: z.number().int().positive(), at: z.coerce.date().optional() })
workflow("zod", async (o: z.infer<typeof Order>) => {
  const bad = Order.safeParse({ id: "", amount: -1 })
  return { id: o.id, issues: bad.error?.issues.map((i) => i.path.join(".")) }
}, { input: Order })

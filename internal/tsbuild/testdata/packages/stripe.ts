import Stripe from "stripe"
import { workflow } from "flawless"
workflow("stripe", async () => {
  const stripe = new Stripe("sk_test_1", { httpClient: Stripe.createFetchHttpClient() })
  const c: any = await stripe.charges.create({ amount: 1999, currency: "eur", source: "tok_visa" })
  return c.path
})

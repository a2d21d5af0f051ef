import { jwtVerify, SignJWT } from "jose"
import { workflow } from "flawless"
workflow("jose", async () => {
  const key = new TextEncoder().encode("a secret of at least thirty-two bytes")
  const token = await new SignJWT({ sub: "ann" }).setProtectedHeader({ alg: "HS256" }).setIssuedAt().sign(key)
  return (await jwtVerify(token, key)).payload.sub
})

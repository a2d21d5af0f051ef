import OpenAI from "openai"
import { workflow } from "flawless"
workflow("openai", async () => {
  const openai = new OpenAI({ apiKey: "sk-1", maxRetries: 0, dangerouslyAllowBrowser: true })
  const r: any = await openai.chat.completions.create({ model: "small", messages: [{ role: "user", content: "hi" }] })
  return r.path
})

import { createOpenAI } from "@ai-sdk/openai"
import { generateText } from "ai"
import { workflow } from "flawless"
workflow("ai", async () => {
  const model = createOpenAI({ apiKey: "sk-1" }).chat("small")
  return generateText({ model, prompt: "hi", maxRetries: 0 }).then((r) => r.text, (e) => `${e.name}`)
})

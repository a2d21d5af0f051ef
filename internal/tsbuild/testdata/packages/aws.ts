import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3"
import { workflow } from "flawless"
workflow("aws", async () => {
  const s3 = new S3Client({ region: "eu-central-1", credentials: { accessKeyId: "AKIA", secretAccessKey: "s" }, maxAttempts: 1 })
  const put = await s3.send(new PutObjectCommand({ Bucket: "b", Key: "k.txt", Body: "hello" }))
  const got = await s3.send(new GetObjectCommand({ Bucket: "b", Key: "k.txt" }))
  return [put.$metadata.httpStatusCode, JSON.parse(await got.Body!.transformToString()).method]
})

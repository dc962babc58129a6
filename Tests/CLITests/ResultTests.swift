import Files
import Foundation
import TestSupport
import Testing

/// What the commands say about a model: their JSON is one object, and the objects agree with each other.
@Suite struct ResultTests {
    private static let score = ["--model", "model", "--data", "rows.jsonl", "--json"]

    @Test func ofTrainInspectAndBenchmark() async throws {
        let run = try TinyRun()
        let trained = try await run.train(flags: ["--json"]).json
        #expect(trained["path"]?.string == "run" && trained["steps"]?.integer == 8)
        #expect(
            trained["before"]?.object.map { Array($0.keys) } == [
                "nll", "nll_standard_error", "perplexity", "perplexity_standard_error", "tokens", "rows", "skipped",
            ])
        let inspected = try await run.graft(["inspect", "recipe.yaml", "--json", "--rows", "2"]).json
        #expect(inspected["rows"]?.array?.count == 2 && inspected["problems"]?.array == [])
        #expect(
            inspected["rows"]?.array?.first?["segments"] == [
                [
                    "text": "<|im_start|>user\nHow many is 0 and 0?<|im_end|>\n<|im_start|>assistant\n",
                    "trained": false,
                ],
                ["text": "That makes 0, said the miller.<|im_end|>", "trained": true],
                ["text": "\n", "trained": false],
            ])
        let measured = try await run.graft(["benchmark", "recipe.yaml", "--steps", "2", "--json"]).json
        #expect(measured["step_seconds"]?.array?.count == 2)
        #expect((measured["tokens_per_second"]?.number ?? 0) > 0)
    }

    @Test func mergedAndAdaptedAgree() async throws {
        let run = try TinyRun()
        try await run.train()
        for type in ["f32", "f16", "bf16"] {
            let output = "merged-\(type)"
            let merged = try await run.graft(
                ["merge", "--model", "model", "--adapter", "run", "--output", output, "--dtype", type, "--json"]).json
            #expect(merged["verified"] == true && merged["layers"]?.integer == 14 && merged["output"]?.string == output)
        }
        let compared = try await run.graft(
            ["compare", "--adapter", "run", "--merged", "merged-f32"] + Self.score
        ).json
        let adapted = try await run.graft(["evaluate", "--adapter", "run"] + Self.score).json
        let plain = try await run.graft(["evaluate"] + Self.score).json
        #expect(compared["base"]?["nll"] == plain["nll"] && compared["adapter"]?["nll"] == adapted["nll"])
        let difference = try #require(compared["merged"]?["max_logit_difference"]?.number)
        #expect(difference < 1e-3 && compared["merged"]?["logits_against"]?.string == "adapter")
        let nll = try #require(compared["merged"]?["nll"]?.number)
        #expect(try isClose(nll, #require(adapted["nll"]?.number), relative: 1e-4))
        // A slash at the end is no other name.
        let again = try await run.graft(
            ["merge", "--model", "model", "--adapter", "run", "--output", "merged-f32/"])
        #expect(again.status == 2 && again.lastError.contains("merged-f32: the output exists already"))
        let slash = try await run.graft(["merge", "--model", "model", "--adapter", "run", "--output", "new/"])
        #expect(slash.status == 0 && run.exists("new/model.safetensors") && !run.exists("new.partial"))
    }

    /// The base is loaded as the adapter's training saw it, and the merged model is that base with the adapter folded in.
    @Test(arguments: [("int8", "true", "int8"), ("nf4", "true", "nf4_double_quant"), ("nf4", "false", "nf4")])
    func quantisedBase(_ weights: String, doubleQuant: String, recorded: String) async throws {
        let run = try TinyRun()
        let trained = try await run.train(["model.weights=\(weights)", "model.double_quant=\(doubleQuant)"])
        #expect(trained.status == 0 && trained.errors.contains("off by (RMS): q_proj"))
        let header = try run.bytes("run/adapter_model.safetensors").dropFirst(8).prefix { $0 < 0x80 && $0 != 0 }
        #expect(String(decoding: header, as: UTF8.self).contains("\"graft_base_storage\":\"\(recorded)\""))

        let flags = ["--weights", weights] + (weights == "nf4" ? ["--double-quant", doubleQuant] : [])
        let adopted = try await run.graft(["evaluate", "--adapter", "run"] + Self.score)
        let asked = try await run.graft(["evaluate", "--adapter", "run"] + Self.score + flags)
        let plain = try await run.graft(["evaluate", "--adapter", "run", "--weights", "f32"] + Self.score)
        #expect(adopted.errors.contains("the model is loaded so") && adopted.output == asked.output)
        #expect(plain.output != asked.output && plain.status == 0)

        let merged = try await run.graft(
            ["merge", "--model", "model", "--adapter", "run", "--output", "merged", "--dtype", "f32", "--json"])
        #expect(merged.status == 0 && merged.errors.contains("merged into the numbers"))
        #expect(try merged.json["verified"] == true)
        let whole = try await run.graft(["evaluate", "--model", "merged", "--data", "rows.jsonl", "--json"]).json
        #expect(try isClose(#require(whole["nll"]?.number), #require(adopted.json["nll"]?.number), relative: 1e-5))
        let compared = try await run.graft(["compare", "--adapter", "run", "--merged", "merged"] + Self.score).json
        #expect(try #require(compared["merged"]?["max_logit_difference"]?.number) < 1e-3)
    }

    /// A trained adapter merged into a GGUF file scores there as it does on its base.
    @Test func anExportedModelIsTheAdaptersOwn() async throws {
        let run = try TinyRun()
        try await run.train()
        let export = ["export", "--model", "model", "--adapter", "run", "--to"]
        let exported = try await run.graft(export + ["gguf", "--type", "f32", "--output", "m.gguf", "--json"])
        #expect(try exported.status == 0 && exported.json["verified"] == true, "\(exported.errors)")
        #expect(try exported.json["layers"] == 14)
        let (adapter, whole) = (
            try await run.graft(["evaluate", "--adapter", "run"] + Self.score).json,
            try await run.graft(["evaluate", "--model", "m.gguf", "--data", "rows.jsonl", "--json"]).json
        )
        #expect(try isClose(#require(whole["nll"]?.number), #require(adapter["nll"]?.number), relative: 1e-5))
        let alone = try await run.graft(export + ["gguf-lora", "--output", "lora.gguf"])
        #expect(alone.status == 0 && alone.output.hasPrefix("wrote 14 layers of the adapter to lora.gguf"))
        let again = try await run.graft(["evaluate", "--model", "lora.gguf", "--data", "rows.jsonl"])
        #expect(again.status == 2 && again.errors.contains("lora.gguf"), "\(again.errors)")
    }

    @Test func scoringFollowsItsFlags() async throws {
        let run = try TinyRun()
        let texts = (0..<3).map { row in
            #"{"text": "\#((0..<40).map { "\(row * 7 + $0) mills " }.joined())"}"# + "\n"
        }.joined()
        try run.folder.write(texts, to: "texts.jsonl")
        func tokens(_ flags: [String]) async throws -> Int {
            let result = try await run.graft(["evaluate", "--model", "model", "--json"] + flags).json
            return try #require(result["tokens"]?.integer)
        }
        let text = ["--data", "texts.jsonl", "--max-length"]
        let (cut, strided) = (try await tokens(text + ["32"]), try await tokens(text + ["32", "--stride", "16"]))
        #expect(cut == 3 * 31)
        #expect(strided > cut)
        #expect(try await tokens(text + ["32", "--stride", "31"]) == strided, "each token once, whatever the stride")
        let rows = ["--data", "rows.jsonl", "--train-on"]
        let (assistant, all) = (try await tokens(rows + ["assistant"]), try await tokens(rows + ["all"]))
        #expect(try await tokens(["--data", "rows.jsonl"]) == assistant && assistant < all)
    }

    @Test func answersRepeatWithTheirSeed() async throws {
        let run = try TinyRun()
        func answer(_ flags: String...) async throws -> String {
            let arguments = ["generate", "--model", "model", "--prompt", "How many?", "--max-tokens", "24", "--json"]
            let result = try await run.graft(arguments + flags).json
            #expect(result["prompt"]?.string == "How many?")
            return try #require(result["answer"]?.string)
        }
        let greedy = try await answer()
        #expect(try await answer() == greedy)
        #expect(try await answer("--temperature", "1", "--top-k", "1") == greedy)
        let drawn = try await answer("--temperature", "1", "--seed", "1")
        #expect(try await answer("--temperature", "1", "--seed", "1") == drawn)
        #expect(try await answer("--temperature", "1", "--seed", "2") != drawn)
        #expect(try await answer("--raw") != greedy)
        #expect(try await answer("--system", "Count in dozens.") != greedy)
        let shown = try await run.graft(["generate", "--model", "model", "--prompt", "How many?", "--max-tokens", "24"])
        #expect(shown.output == greedy + "\n")
    }

    @Test func promptsAreAnsweredSideBySide() async throws {
        let run = try TinyRun()
        let flags = ["--model", "model", "--max-tokens", "12", "--temperature", "1", "--threads", "1"]
        func answers(_ arguments: [String]) async throws -> [JSON] {
            let result = try await run.graft(["generate", "--json"] + flags + arguments)
            #expect(result.status == 0, "\(result.errors)")
            return try result.output.split(separator: "\n").map { try JSON(parsing: String($0)) }
        }
        let lines = try await answers(["--prompt", "How many?", "--prompt", "And why?", "--samples", "2"])
        #expect(lines.map { $0["prompt"]?.string } == ["How many?", "How many?", "And why?", "And why?"])
        #expect(lines.map { $0["sample"]?.integer } == [0, 1, 0, 1])
        #expect(lines[0]["answer"] != lines[1]["answer"])
        #expect(lines.allSatisfy { ($0["new_tokens_per_second"]?.number ?? 0) > 0 })
        try run.folder.write(
            #"{"prompt": "How many?"}"# + "\n" + #"{"messages": [{"role": "user", "content": "And why?"}]}"#,
            to: "prompts.jsonl")
        let file = try await answers(["--prompts", "prompts.jsonl"])
        #expect(file.map { $0["answer"] } == [lines[0]["answer"], lines[2]["answer"]])
        #expect(file[1]["messages"]?.array?.count == 1)
        let long = try await answers(["--prompt", "a", "--min-new-tokens", "12"])
        #expect(long[0]["new_tokens"]?.integer == 12 && long[0]["stopped"] == false)
        let shown = try await run.graft(["generate", "--prompt", "How many?", "--samples", "2"] + flags)
        let texts = lines.prefix(2).compactMap { $0["answer"]?.string }
        #expect(shown.output == "— prompt 1, sample 1\n\(texts[0])\n— prompt 1, sample 2\n\(texts[1])\n")
        #expect(shown.errors.contains(" new tokens ("))
    }

    @Test func aChatReadsTurnsUntilAnEmptyLine() async throws {
        let run = try TinyRun()
        let arguments = ["chat", "--model", "model", "--max-tokens", "4"]
        let one = try await run.graft(arguments, input: "How many?\n\nnever read\n")
        let two = try await run.graft(arguments, input: "How many?\nAnd now?\n")
        #expect(one.status == 0 && two.status == 0)
        #expect(two.output.hasPrefix(one.output) && two.output.utf8.count > one.output.utf8.count)
        #expect(two.errors == "> > > ")
    }

    @Test func idsAreAnArrayALine() async throws {
        let run = try TinyRun()
        try run.folder.write("one\n\nthree 3\n", to: "lines.txt")
        let result = try await run.graft(["tokenize", "--model", "model", "--file", "lines.txt", "--json"])
        let lines = try result.output.split(separator: "\n").map { try JSON(parsing: String($0)) }
        #expect(result.status == 0 && result.errors.isEmpty && lines.count == 3 && lines[1] == [])
    }
}

/// `inspect` ends with a fault where training would be pointless or harmful.
@Suite struct InspectTests {
    private func problems(_ prepare: (TinyRun) throws -> Void, _ settings: [String] = []) async throws -> GraftRun {
        let run = try TinyRun()
        try prepare(run)
        let result = try await run.graft(["inspect", "recipe.yaml"] + settings.flatMap { ["--set", $0] })
        #expect(result.status == 2, "\(result.output)")
        let trained = try await run.train(settings)
        #expect(trained.status == 2 && !run.exists("run"), "training refuses what inspect refuses: \(trained.errors)")
        return result
    }

    @Test func nothingTrained() async throws {
        let result = try await problems { run in
            try run.folder.write(#"{"messages": [{"role": "user", "content": "a"}]}"#, to: "rows.jsonl")
        }
        #expect(result.lastError.contains("no token is trained"), "\(result.errors)")
    }

    @Test func theEndOfATurnNeverTrained() async throws {
        let result = try await problems({ _ in }, ["dataset.max_length=40"])
        #expect(result.lastError.contains("no row trains the token that ends a turn"), "\(result.errors)")
    }

    @Test func everythingTrained() async throws {
        let result = try await problems { run in
            try run.folder.write(#"{"messages": [{"role": "assistant", "content": "a b"}]}"#, to: "rows.jsonl")
            try run.folder.write(
                "{% for m in messages %}{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}{% endfor %}",
                to: "model/chat_template.jinja")
        }
        #expect(result.lastError.contains("every token is trained, prompts too"), "\(result.errors)")
    }

    @Test func twoBeginnings() async throws {
        let result = try await problems { run in
            let template = try run.folder.read("model/chat_template.jinja")
            try run.folder.write("<|im_start|><|im_start|>" + template, to: "model/chat_template.jinja")
        }
        #expect(result.lastError.contains("24 of 24 rows begin with BOS twice"), "\(result.errors)")
    }
}

/// The real model, for those who have it.
@Suite struct RealModelTests {
    @Test(.enabled(if: Locations.model != nil)) func greedyAnswersAreTransformers() async throws {
        let golden = try JSON(contentsOf: Locations.fixture("models/smollm2.json"))
        let first = try #require(golden["prompts"]?.array?.first)
        let prompt = try #require(first["messages"]?.array?.first?["content"]?.string)
        let text = try #require(first["greedy"]?["gguf"]?["text"]?.string)
        let result = try await Graft.run(
            ["generate", "--model", #require(Locations.model), "--prompt", prompt, "--max-tokens", "16", "--json"])
        #expect(try result.json["answer"]?.string == text.replacing("<|im_end|>", with: ""))
    }
}

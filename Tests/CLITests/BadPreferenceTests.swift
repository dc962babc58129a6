import Files
import TestSupport
import Testing

/// Rows of preferences as they go wrong in the wild, through the binary: a sentence that names the line, or a counted row that is left
/// out.
@Suite struct BadPreferenceTests {
    private func prepared(_ rows: String) throws -> TinyRun {
        let run = try TinyRun()
        try run.folder.write(PreferenceTests.recipe, to: "recipe.yaml")
        try run.folder.write(rows, to: "pairs.jsonl")
        return run
    }

    @Test(arguments: [
        (#"{"prompt": "a", "chosen": "b"}"#, "no \"rejected\""),
        (#"{"prompt": "a", "rejected": "b"}"#, "no \"chosen\""),
        (#"{"prompt": "a", "chosen": 1, "rejected": "b"}"#, "\"chosen\" is a number"),
        (#"{"prompt": "a", "chosen": null, "rejected": "b"}"#, "\"chosen\" is null"),
        (#"{"prompt": 7, "chosen": "a", "rejected": "b"}"#, "\"prompt\" is a number"),
        (#"{"prompt": "a", "chosen": ["b"], "rejected": "c"}"#, "\"chosen\" is an array and \"rejected\" is a string"),
        (#"{"prompt": "a", "chosen": {"content": "b"}, "rejected": {"content": "c"}}"#, "\"chosen\" is an object"),
        (
            #"{"prompt": [{"role": "user", "content": "a"}], "chosen": [], "rejected": [{"role": "assistant", "content": "c"}]}"#,
            "chosen: is an empty list"
        ),
        (
            #"{"prompt": [{"role": "user", "content": "a"}], "chosen": [{"role": "assistant", "content": 4}], "rejected": [{"role": "assistant", "content": "c"}]}"#,
            "chosen[0].content: is a number"
        ),
        (
            #"{"prompt": "a", "chosen": "b", "rejected": "c", "margin": "wide"}"#,
            "margin: is a string, expected a number"
        ),
        (#"{"prompt": "a", "chosen": "b", "rejected": "c""#, "not valid JSON"),
        (#"["a", "b"]"#, "is an array, expected an object"),
    ])
    func pairsThatAreNone(row: String, says: String) async throws {
        let run = try prepared(PreferenceTests.pairs(8) + row + "\n")
        for command in ["train", "inspect"] {
            let result = try await run.graft([command, "recipe.yaml"])
            #expect(result.status == 2, "\(command) \(result.errors)")
            #expect(result.lastError.hasPrefix("error: pairs.jsonl: line 9: "), "\(result.errors)")
            #expect(result.lastError.contains(says), "\(result.errors)")
        }
        #expect(!run.exists("run"))
    }

    @Test(arguments: [
        (#"{"prompt": "a", "completion": "b"}"#, "label"),
        (#"{"prompt": "a", "completion": "b", "label": "yes"}"#, "label: is a string, expected true or false"),
        (#"{"prompt": "a", "completion": "b", "label": 2}"#, "label: is a number, expected true or false"),
        (#"{"prompt": "a", "completion": 3, "label": true}"#, "two strings or two lists of messages"),
        (#"{"messages": [{"role": "assistant", "content": "b"}], "label": true}"#, "ends without"),
    ])
    func labelsThatAreNone(row: String, says: String) async throws {
        let good = #"{"prompt": "a", "completion": "b", "label": true}"# + "\n"
        let run = try prepared(good + good + row + "\n")
        let result = try await run.train(["objective={type: kto}"])
        #expect(result.status == 2 && result.lastError.contains("pairs.jsonl: line 3: "), "\(result.errors)")
        #expect(result.lastError.contains(says), "\(result.errors)")
    }

    /// Rows of each kind that cannot be compared, as messages and as texts, in training and in the rows of evaluation.
    @Test func rowsThatCannotBeComparedAreCountedEverywhere() async throws {
        func chat(_ prompt: String, _ chosen: String, _ rejected: String) -> String {
            #"{"prompt": [{"role": "user", "content": "\#(prompt)"}], "chosen": [{"role": "assistant", "content": "\#(chosen)"}], "#
                + #""rejected": [{"role": "assistant", "content": "\#(rejected)"}]}"# + "\n"
        }
        let long = String(repeating: "why ", count: 80)
        let bad =
            chat("a", "Same.", "Same.") + chat("a", "", "No.") + chat("a", "Yes.", "") + chat(long, "Yes.", "No.")
            + chat("a", long + "so", long + "not so")
        let run = try prepared(PreferenceTests.pairs(8) + bad)
        try run.folder.write(PreferenceTests.pairs(2) + chat("a", "Same.", "Same."), to: "eval.jsonl")
        let expected = [
            "1 equal answers", "2 an empty answer", "1 a prompt of max_length or more",
            "1 equal answers within max_length",
        ]
        let trained = try await run.train(["dataset.eval=eval.jsonl", "health.stop=true"], flags: ["--json"])
        #expect(trained.status == 0, "\(trained.errors)")
        for part in expected {
            let (count, reason) = (part.prefix(1), part.dropFirst(2))
            #expect(trained.errors.contains("\(count) of 13 rows were left out: \(reason)"), "\(trained.errors)")
        }
        // The pair of evaluation that is left out is not judged.
        #expect(trained.errors.contains("before training: loss 0.6931"), "\(trained.errors)")
        let inspected = try await run.graft(["inspect", "recipe.yaml", "--rows", "0"])
        for part in expected { #expect(inspected.output.contains("left out: \(part.prefix(1)) rows"), "\(part)") }
        let strict = try await run.train(["dataset.overflow=error"], flags: ["--overwrite"])
        #expect(strict.status == 2 && strict.lastError.contains("max_length is 96"), "\(strict.errors)")
    }

    /// What lies below the adapter that is trained is part of the base: the reference has it too.
    @Test func theReferenceKeepsTheAdaptersBelow() async throws {
        let run = try prepared(PreferenceTests.pairs(16))
        #expect(try await run.train(["output.path=below"]).status == 0)
        let settings = ["model.adapters=[below]", "training.max_steps=3", "adapter.lora_dropout=0"]
        var losses: [[Double]] = []
        for reference in ["base", "auto"] {
            for precomputed in [false, true] {
                let objective =
                    "objective={type: dpo, reference: \(reference), precompute_ref_log_probs: \(precomputed)}"
                let trained = try await run.train(settings + [objective], flags: losses.isEmpty ? [] : ["--overwrite"])
                #expect(trained.status == 0, "\(trained.errors)")
                losses.append(
                    try run.folder.read("run/metrics.jsonl").split(separator: "\n").compactMap {
                        try JSON(parsing: String($0))["loss"]?.number
                    })
            }
        }
        // A new adapter is nothing: with what lies below it, the reference is the model itself.
        #expect(losses[0].count == 3 && losses[0][0] == 0.693147180559945309 && losses[0][1] != losses[0][0])
        #expect(Set(losses).count == 1)
        // Without, it is not: what lies below has learnt these pairs.
        let other = try await run.train(
            settings + ["objective={type: dpo, reference: model}"], flags: ["--overwrite"])
        let line = try #require(run.folder.read("run/metrics.jsonl").split(separator: "\n").first)
        let first = try JSON(parsing: String(line))["loss"]?.number ?? 1
        #expect(other.status == 0 && first < 0.6, "\(first)")
    }
}

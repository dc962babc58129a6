import Files
import Foundation
import TestSupport
import Testing

/// Preference learning as a user runs it.
@Suite struct PreferenceTests {
    static let recipe = """
        model: { path: model }
        adapter: { type: lora, r: 4, lora_alpha: 8, lora_dropout: 0.1, target_modules: all-linear }
        dataset: { train: pairs.jsonl, eval: 0.25, max_length: 96, rows_per_batch: 2 }
        objective: { type: dpo }
        optimizer: { type: adamw, learning_rate: 1.0e-2, schedule: constant }
        training: { max_steps: 6, seed: 7, threads: 1 }
        output: { path: run, save_steps: 2, keep_checkpoints: 3 }
        """

    /// A folder with the tiny model, pairs about sums, and a recipe.
    private func prepared() throws -> TinyRun {
        let run = try TinyRun()
        try run.folder.write(Self.recipe, to: "recipe.yaml")
        try run.folder.write(Self.pairs(16), to: "pairs.jsonl")
        return run
    }

    static func pairs(_ count: Int) -> String {
        (0..<count).map { number in
            #"{"prompt": [{"role": "user", "content": "How many is \#(number) and \#(3 * number)?"}], "#
                + #""chosen": [{"role": "assistant", "content": "That makes \#(4 * number)."}], "#
                + #""rejected": [{"role": "assistant", "content": "Nobody can tell, \#(number) times."}]}"# + "\n"
        }.joined()
    }

    private func steps(_ run: TinyRun, _ name: String = "run") throws -> [JSON] {
        try run.folder.read("\(name)/metrics.jsonl").split(separator: "\n").map { try JSON(parsing: String($0)) }
    }

    @Test func theFirstLossIsLn2AndMetricsHaveTRLsNames() async throws {
        let run = try prepared()
        let trained = try await run.train()
        #expect(trained.status == 0, "\(trained.errors)")
        let steps = try steps(run)
        #expect(steps.count == 6 && steps[0]["loss"]?.number == 0.693147180559945309)
        #expect(steps[0]["rewards/margins"]?.number == 0)
        let names: Set = [
            "rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen",
            "logps/rejected", "logits/chosen", "logits/rejected", "entropy", "mean_token_accuracy",
        ]
        #expect(names.isSubset(of: Set((steps[0].object ?? [:]).keys)))
        #expect((steps.last?["loss"]?.number ?? 1) < 0.5)
        let evaluation = try JSON(parsing: run.folder.read("run/evaluation.json"))
        #expect(evaluation["before"]?["loss"]?.number == 0.693147180559945309)
        #expect(evaluation["after"]?["rewards/accuracies"]?.number == 1)
        #expect(trained.errors.contains("% of pairs ranked correctly"))
        let judged = try await run.graft([
            "evaluate", "--model", "model", "--adapter", "run", "--data", "pairs.jsonl", "--json",
        ])
        let result = try JSON(parsing: judged.output)
        #expect(result["by"]?.string == "implicit_reward" && result["accuracy"]?.number == 1)
        #expect(result["pairs"]?.integer == 16 && (result["margin"]?.number ?? 0) > 1)
        let base = try await run.graft(["evaluate", "--model", "model", "--data", "pairs.jsonl", "--json"])
        #expect(try JSON(parsing: base.output)["by"]?.string == "mean_log_probability")
    }

    @Test(arguments: [
        "dpo", "kto", "cpo", "orpo", "dpo, loss_type: [aot, sft], loss_weights: [1, 0.5]",
        "dpo, use_weighting: true, ld_alpha: 0.5", "cpo, loss_type: simpo, cpo_alpha: 0, beta: 2",
        "kto, loss_type: apo_zero_unpaired",
    ])
    func aResumedRunIsTheSame(objective: String) async throws {
        let run = try prepared()
        let settings = ["objective={type: \(objective)}"]
        let whole = try await run.train(settings + ["output.path=whole"])
        #expect(whole.status == 0, "\(whole.errors)")
        #expect(try await run.train(settings + ["training.max_steps=4"]).status == 0)
        let resumed = try await run.train(settings, flags: ["--resume"])
        #expect(resumed.status == 0, "\(resumed.errors)")
        #expect(try run.metrics(of: "run") == run.metrics(of: "whole"))
        #expect(try run.bytes("run/adapter_model.safetensors") == run.bytes("whole/adapter_model.safetensors"))
    }

    /// With references of every kind, and with what they say computed before: the same numbers.
    @Test func references() async throws {
        let run = try prepared()
        #expect(try await run.train(["output.path=start"]).status == 0)
        let from = ["adapter.init_from=start", "training.max_steps=3"]
        func losses(_ reference: String, precomputed: Bool, _ settings: [String]) async throws -> [Double] {
            let all =
                settings + ["objective={type: dpo, reference: \(reference), precompute_ref_log_probs: \(precomputed)}"]
            let trained = try await run.train(all, flags: run.exists("run") ? ["--overwrite"] : [])
            #expect(trained.status == 0, "\(trained.errors)")
            return try steps(run).compactMap { $0["loss"]?.number }
        }
        var first: [String: [Double]] = [:]
        for reference in ["auto", "start", "base", "start/", "model"] {
            let losses = try await losses(reference, precomputed: false, from)
            #expect(losses.count == 3)
            first[reference] = losses
            #expect(try await self.losses(run, reference, from) == losses, "\(reference)")
        }
        #expect(first["auto"] == first["start"] && first["start/"] == first["start"])
        #expect(first["auto"]?[0] == 0.693147180559945309 && first["base"]?[0] != first["auto"]?[0])
        #expect(first["model"] == first["base"])
        // Full fine-tuning loads the base a second time, or scores with it before.
        let full = ["adapter=null", "training.max_steps=3", "optimizer.learning_rate=1.0e-3"]
        let second = try await losses("base", precomputed: false, full)
        #expect(second[0] == 0.693147180559945309 && second[1] != second[0])
        #expect(try await losses("base", precomputed: true, full) == second)
    }

    private func losses(_ run: TinyRun, _ reference: String, _ settings: [String]) async throws -> [Double] {
        let objective = "objective={type: dpo, reference: \(reference), precompute_ref_log_probs: true}"
        let trained = try await run.train(settings + [objective], flags: ["--overwrite"])
        #expect(trained.status == 0, "\(trained.errors)")
        return try steps(run).compactMap { $0["loss"]?.number }
    }

    @Test func whatTheReferenceSaidIsKeptForOtherLosses() async throws {
        let run = try prepared()
        func train(_ objective: String, _ settings: [String] = []) async throws -> String {
            let trained = try await run.train(
                settings + ["objective={type: dpo, precompute_ref_log_probs: true, \(objective)}"],
                flags: run.exists("run") ? ["--overwrite"] : [])
            #expect(trained.status == 0, "\(trained.errors)")
            return trained.errors
        }
        #expect(try await train("beta: 0.1").contains("has scored 16 rows"))
        #expect(try await train("beta: 0.5, loss_type: ipo").contains("of an earlier run"))
        try run.folder.write(Self.pairs(12), to: "pairs.jsonl")
        #expect(try await train("beta: 0.1").contains("has scored 12 rows"))
        try run.folder.write(Self.pairs(16), to: "pairs.jsonl")
        #expect(try await train("beta: 0.1").contains("of an earlier run"))
        // A damaged file is computed again.
        let name = try #require(run.names(in: "cache/graft/reference").first)
        for file in run.names(in: "cache/graft/reference") {
            try run.change("cache/graft/reference/\(file)") { $0.dropLast(40) + $0.suffix(39) }
        }
        #expect(try await train("beta: 0.1").contains("has scored 16 rows") && name.hasSuffix(".logps"))
    }

    @Test func inspectionShowsBothAnswersAndWhatSharingSaves() async throws {
        let run = try prepared()
        let inspected = try await run.graft(["inspect", "recipe.yaml", "--rows", "1"])
        #expect(inspected.status == 0, "\(inspected.errors)")
        #expect(
            inspected.output.contains("· chosen: [[That makes 0.") && inspected.output.contains("· rejected: [[Nobody"))
        #expect(inspected.output.contains("prompts shared by their answers:"))
        let coupled = try await run.graft(["inspect", "recipe.yaml", "--set", "objective={type: kto}"])
        #expect(coupled.output.contains("note: the loss kto estimates a divergence in each batch"))
    }

    @Test func rowsThatCannotBeComparedAreCounted() async throws {
        try await Self.expectBadRowsCounted(prepared())
    }

    /// Trains on eight pairs and on one row of each kind that cannot be compared; each is left out and counted, and alone it is an error.
    ///
    /// - Parameters:
    ///   - run: whose recipe compares the pairs of `pairs.jsonl`.
    ///   - others: further rows that are left out, each with the reason.
    /// - Throws: what keeps the run's files from being written.
    static func expectBadRowsCounted(_ run: TinyRun, others: [(row: String, reason: String)] = []) async throws {
        let equal = #"{"prompt": "Why? ", "chosen": "So.", "rejected": "So."}"#
        let long = #"{"prompt": "\#(String(repeating: "why ", count: 80))", "chosen": "a", "rejected": "b"}"#
        let bad =
            [
                (equal, "equal answers"), (#"{"prompt": "Why?", "chosen": "", "rejected": "No."}"#, "an empty answer"),
                (long, "a prompt of max_length or more"),
            ] + others
        try run.folder.write(pairs(8) + bad.map { $0.0 + "\n" }.joined(), to: "pairs.jsonl")
        let trained = try await run.train()
        #expect(trained.status == 0, "\(trained.errors)")
        for (_, reason) in bad {
            #expect(
                trained.errors.contains("1 of \(8 + bad.count) rows were left out: \(reason)"), "\(trained.errors)")
        }
        try run.folder.write(equal + "\n", to: "pairs.jsonl")
        let nothing = try await run.train(flags: ["--overwrite"])
        #expect(nothing.status == 2 && nothing.errors.contains("1 equal answers"), "\(nothing.errors)")
    }

    @Test(arguments: [
        (["dataset.train=rows.jsonl"], "the row has the format messages, but preference pairs"),
        (["objective={type: sft}"], "the row is a preference pair"),
        (["objective={type: dpo, loss_type: sigmoids}"], "did you mean `sigmoid`?"),
        (["objective={type: dpo, loss_type: [sigmoid, sft], loss_weights: [1]}"], "has 1 values for 2"),
        (["objective={type: dpo, loss_type: exo_pair}"], "needs `objective.label_smoothing` above 0"),
        (
            ["objective={type: dpo, loss_type: bco_pair, f_divergence_type: forward_kl}"],
            "no meaning for the loss bco_pair"
        ),
        (["objective={type: dpo, loss_type: aot, use_weighting: true}"], "cannot stand beside the loss aot"),
        (["objective={type: dpo, beta: 0}"], "above 0"),
        (["objective={type: dpo, reference: nowhere}"], "nowhere"),
        (["objective={type: kto}", "dataset.rows_per_batch=1"], "must be 2 or more"),
        (["objective={type: kto, precompute_ref_log_probs: true}"], "cannot be scored before training"),
        (["objective={type: simpo}"], "simpo"),
        (["dataset.overflow=split"], "no meaning for answers"),
        (["objective={type: dpo, rpo_alpha: 1}"], "unknown key `objective.rpo_alpha`"),
        (["objective={type: orpo, reference: base}"], "unknown key `objective.reference`"),
    ])
    func faultsAreNamed(settings: [String], says: String) async throws {
        let run = try prepared()
        let trained = try await run.train(settings)
        #expect(trained.status == 2 && trained.errors.contains(says), "\(trained.errors)")
    }
}

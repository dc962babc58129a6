import Files
import Foundation
import TestSupport
import Testing

/// Adapters on top of adapters, and what quantised weights take.
@Suite struct StackedTrainTests {
    @Test func aFrozenAdapterStaysBelowTheOneThatIsTrained() async throws {
        let run = try TinyRun()
        try await run.train(["training.max_steps=3"])
        let below = try run.bytes("run/adapter_model.safetensors")
        let stacked = ["model.adapters=[run]", "output.path=top", "adapter.r=2", "training.max_steps=4"]
        let trained = try await run.train(stacked + ["output.save_steps=2"], flags: ["--json"])
        #expect(trained.status == 0, "\(trained.errors)")
        #expect(try run.bytes("run/adapter_model.safetensors") == below)
        let before = try #require(try trained.json["before"]?["nll"]?.number)
        let after = try #require(try trained.json["after"]?["nll"]?.number)

        // The run began as the adapter below is, and ends as the two files together are: the one below has not moved.
        let lower = try JSON(contentsOf: run.folder.file("run/evaluation.json"))["after"]?["nll"]?.number
        #expect(try isClose(before, #require(lower), relative: 1e-6) && after < before)
        func merged(_ adapters: [String], _ output: String) async throws -> GraftRun {
            try await run.graft(
                ["merge", "--model", "model", "--output", output, "--dtype", "f32", "--json"]
                    + adapters.flatMap { ["--adapter", $0] })
        }
        #expect(try await merged(["run", "top"], "both").json["verified"] == true)
        let rows = ["--model", "model", "--data", "rows.jsonl", "--json"]
        let both = try await run.graft(["evaluate", "--adapter", "run", "--adapter", "top"] + rows)
        let alone = try await run.graft(["evaluate", "--adapter", "top"] + rows)
        #expect(alone.errors.contains("top was trained on top of run") && !both.errors.contains("on top of"))
        #expect(alone.output != both.output)

        // It resumes to the same bits, and not on another adapter.
        try await run.train(
            stacked.map { $0 == "output.path=top" ? "output.path=again" : $0 } + ["training.max_steps=2"])
        let resumed = try await run.train(
            stacked.map { $0 == "output.path=top" ? "output.path=again" : $0 }, flags: ["--resume"])
        #expect(resumed.status == 0, "\(resumed.errors)")
        #expect(try run.bytes("again/adapter_model.safetensors") == run.bytes("top/adapter_model.safetensors"))
        try await run.train(["training.max_steps=1", "training.seed=9"], flags: ["--overwrite"])
        let other = try await run.train(
            stacked.map { $0 == "output.path=top" ? "output.path=again" : $0 }, flags: ["--resume"])
        #expect(other.status == 2 && other.lastError.contains("the adapter run changed"))

        let whole = try await run.train(["model.adapters=[top]", "adapter=null", "output.path=whole"])
        #expect(whole.status == 2 && whole.lastError.contains("`model.adapters` needs an `adapter` section"))
        let itself = try await run.train(["model.adapters=[run]", "output.path=run"], flags: ["--overwrite"])
        #expect(itself.status == 2 && itself.lastError.contains("`model.adapters` too"))
    }

    /// 0.5625 and about 0.516 bytes a weight, and what is not quantised.
    @Test(arguments: [("false", 0.5625), ("true", 0.5161)])
    func benchmarkCountsTheBytesOfWeights(_ isDouble: String, bytesPerWeight: Double) async throws {
        let run = try TinyRun()
        let report = try await run.graft([
            "benchmark", "recipe.yaml", "--steps", "1", "--json", "--set", "model.weights=nf4", "--set",
            "model.double_quant=\(isDouble)",
        ]).json
        // Hidden 64, keys and values 32, MLP 96, two layers; tokens 384; five norms; factors of rank 4.
        let linear = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96)
        let factors = 2 * 4 * (2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 96))
        let others = 4 * (384 * 64 + 5 * 64 + factors)
        let bytes = try #require(report["parameter_bytes"]?.integer) - others
        #expect(abs(Double(bytes) / Double(linear) / bytesPerWeight - 1) < 0.05)

        // With the table, which is head and embedding: nothing else is left in f32.
        let whole = try await run.graft([
            "benchmark", "recipe.yaml", "--steps", "1", "--json", "--set", "model.weights=nf4", "--set",
            "model.double_quant=\(isDouble)", "--set", "model.skip_modules=none",
        ]).json
        let all = try #require(whole["parameter_bytes"]?.integer) - 4 * (5 * 64 + factors)
        #expect(abs(Double(all) / Double(linear + 384 * 64) / bytesPerWeight - 1) < 0.05)
    }

    @Test func aRunOnAQuantisedHeadSaysSoAndIsFollowed() async throws {
        let run = try TinyRun()
        let trained = try await run.train([
            "model.weights=nf4", "model.skip_modules=none", "training.max_steps=3",
            "adapter.modules_to_save=[norm]", "adapter.target_modules=[q_proj, lm_head]",
        ])
        #expect(trained.status == 0, "\(trained.errors)")
        #expect(trained.errors.contains("embed_tokens") && trained.errors.contains("off by (RMS)"))
        let evaluated = try await run.graft([
            "evaluate", "--model", "model", "--adapter", "run", "--data", "rows.jsonl", "--json",
        ])
        #expect(evaluated.errors.contains("nf4 (modules skipped: none) weights: the model is loaded so"))
        // A merge folds into the numbers that the codes stand for, and the head gets a weight of its own.
        let merged = try await run.graft([
            "merge", "--model", "model", "--adapter", "run", "--output", "merged", "--dtype", "f32", "--data",
            "rows.jsonl", "--json",
        ])
        #expect(merged.status == 0, "\(merged.errors)")
        let comparison = try merged.json["comparison"]
        let (on, folded) = (comparison?["adapter"]?["nll"]?.number, comparison?["merged"]?["nll"]?.number)
        #expect(try isClose(#require(on), #require(folded), relative: 1e-5))
        #expect(try merged.json["base_storage"] == "nf4_double_quant")
        #expect(try JSON(contentsOf: run.folder.file("merged/config.json"))["tie_word_embeddings"] == false)

        let answer = try await run.graft([
            "generate", "--model", "model", "--weights", "nf4", "--skip-modules", "none", "--prompt", "Hello",
            "--max-tokens", "4",
        ])
        #expect(answer.status == 0, "\(answer.errors)")
        for (flags, words) in [
            (["--skip-modules", "none"], "needs `--weights int8`"),
            (["--weights", "int8", "--skip-modules", "lm_haed"], "Did you mean lm_head?"),
        ] {
            let wrong = try await run.graft(["generate", "--model", "model", "--prompt", "Hello"] + flags)
            #expect(wrong.status == 2 && wrong.lastError.contains(words), "\(wrong.errors)")
        }
    }
}

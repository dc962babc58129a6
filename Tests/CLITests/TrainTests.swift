import Files
import Foundation
import TestSupport
import Testing

/// What a training run writes.
@Suite struct TrainTests {
    @Test func aRunsFolder() async throws {
        let run = try TinyRun()
        let result = try await run.train()
        #expect(result.status == 0 && result.output.isEmpty, "\(result.errors)")
        #expect(
            run.names(in: "run") == [
                "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "checkpoints",
                "evaluation.json", "metrics.jsonl", "recipe.resolved.yaml", "tokenizer.json", "tokenizer_config.json",
            ])
        #expect(run.names(in: "run/checkpoints") == ["step-6", "step-8"])
        #expect(
            try run.bytes("run/tokenizer.json") == run.bytes("model/tokenizer.json")
                && run.bytes("run/chat_template.jinja") == run.bytes("model/chat_template.jinja"))

        let lines = try run.folder.read("run/metrics.jsonl").split(separator: "\n").map {
            try JSON(parsing: String($0))
        }
        #expect(lines.compactMap { $0["step"]?.integer } == Array(1...8))
        for line in lines {
            #expect(
                line.object.map { Array($0.keys) } == [
                    "step", "epoch", "loss", "grad_norm", "learning_rate", "tokens", "trained_tokens",
                    "tokens_per_second", "peak_memory_bytes", "entropy", "mean_token_accuracy",
                ])
        }
        let evaluation = try JSON(contentsOf: run.folder.file("run/evaluation.json"))
        let (before, after) = (evaluation["before"]?["nll"]?.number, evaluation["after"]?["nll"]?.number)
        #expect(try #require(after) < #require(before) - 1, "eight steps must have taught it something")

        // The resolved recipe is a recipe, and the same run.
        try FileManager.default.copyItem(
            atPath: run.folder.file("run/recipe.resolved.yaml"), toPath: run.folder.file("again.yaml"))
        let again = try await run.graft(["train", "again.yaml", "--set", "output.path=again"])
        #expect(again.status == 0, "\(again.errors)")
        #expect(try run.bytes("again/adapter_model.safetensors") == run.bytes("run/adapter_model.safetensors"))
        #expect(try run.metrics(of: "again") == run.metrics(of: "run"))
    }

    @Test func fullFineTuningWritesAModel() async throws {
        let run = try TinyRun()
        let result = try await run.train(["adapter=null", "optimizer.learning_rate=1.0e-3"])
        #expect(result.status == 0, "\(result.errors)")
        #expect(!run.exists("run/adapter_config.json") && !run.exists("run/model.partial"))
        let after = try JSON(contentsOf: run.folder.file("run/evaluation.json"))["after"]?["nll"]?.number
        let other = ["evaluate", "--data", "rows.jsonl", "--json", "--max-length", "64", "--model"]
        let (tuned, base) = (try await run.graft(other + ["run"]), try await run.graft(other + ["model"]))
        let (tunedNLL, baseNLL) = (try tuned.json["nll"]?.number, try base.json["nll"]?.number)
        #expect(try #require(tunedNLL) < #require(baseNLL) - 0.1)
        // The evaluation rows are a quarter of those: about as likely.
        #expect(try abs(#require(tunedNLL) - #require(after)) < 0.3)
        let resumed = try await run.train(
            ["adapter=null", "optimizer.learning_rate=1.0e-3", "training.max_steps=9"], flags: ["--resume"])
        #expect(resumed.status == 0, "\(resumed.errors)")
        #expect(try await run.graft(other + ["run"]).status == 0)
    }

    @Test(arguments: ["f32", "nf4"])
    func partlyFrozenFineTuningWritesAModel(_ weights: String) async throws {
        let run = try TinyRun()
        let settings = [
            "adapter=null", "optimizer.learning_rate=1.0e-2", "training.trainable_top_layers=1",
            "training.trainable=.*norm.*", "training.recompute=layer", "model.weights=\(weights)",
        ]
        let result = try await run.train(settings)
        #expect(result.status == 0, "\(result.errors)")
        // Two of five norms lie in the last layer.
        #expect(result.errors.contains("training 31,040 of 86,336 parameters (35.95 %)"), "\(result.errors)")
        let log = try JSON(contentsOf: run.folder.file("run/evaluation.json"))
        #expect(try #require(log["after"]?["nll"]?.number) < #require(log["before"]?["nll"]?.number) - 0.1)
        let other = ["evaluate", "--data", "rows.jsonl", "--json", "--max-length", "64", "--model"]
        #expect(try await run.graft(other + ["run"]).status == 0)
        let resumed = try await run.train(settings + ["training.max_steps=9"], flags: ["--resume"])
        #expect(resumed.status == 0, "\(resumed.errors)")
        let idle = try await run.train(
            ["adapter=null", "training.trainable=[.*norm.*, .*q_prj.*]"], flags: ["--overwrite"])
        #expect(idle.status == 2 && idle.errors.contains("\".*q_prj.*\" matches no parameter"), "\(idle.errors)")
    }

    /// Everything that a LoRA can train beside its pairs, stopped and resumed: what a start takes off is made again to the bit.
    @Test(arguments: [
        "init_lora_weights: pissa, bias: all, modules_to_save: [model.norm, lm_head], lora_dropout: 0.1",
        "init_lora_weights: pissa_niter_2, trainable_token_indices: [1, 2, 40]",
        "target_modules: [embed_tokens, q_proj], ensure_weight_tying: true, exclude_modules: [layers.0.self_attn.q_proj]",
    ])
    func whatLoRATrainsBesideItsPairs(_ keys: String) async throws {
        let run = try TinyRun()
        let adapter = "adapter={type: lora, r: 4, lora_alpha: 8, \(keys)}"
        let rates = ["optimizer.loraplus_lr_ratio=4", "optimizer.loraplus_lr_embedding=1.0e-3"]
        let result = try await run.train([adapter, "output.path=straight"] + rates)
        #expect(result.status == 0, "\(result.errors)")
        #expect(try await run.train([adapter, "training.max_steps=4"] + rates).status == 0)
        #expect(try await run.train([adapter] + rates, flags: ["--resume"]).status == 0)
        #expect(try run.bytes("run/adapter_model.safetensors") == run.bytes("straight/adapter_model.safetensors"))
        #expect(try run.metrics(of: "run") == run.metrics(of: "straight"))
        let log = try JSON(contentsOf: run.folder.file("run/evaluation.json"))
        let nll = try #require(log["after"]?["nll"]?.number)
        #expect(try nll < #require(log["before"]?["nll"]?.number) - 0.5)

        let merge = try await run.graft(
            ["merge", "--model", "model", "--adapter", "run", "--output", "merged", "--dtype", "f32", "--json"])
        #expect(merge.status == 0, "\(merge.errors)")
        let config = try JSON(contentsOf: run.folder.file("merged/config.json"))
        #expect(config["tie_word_embeddings"] == .bool(!keys.contains("lm_head")))
        let export = try await run.graft(
            ["export", "--model", "model", "--adapter", "run", "--to", "gguf-lora", "--output", "run.gguf"])
        let isPairs = keys.contains("pissa") && !keys.contains("modules") && !keys.contains("token")
        #expect((export.status == 0) == isPairs, "\(export.errors)")
    }

    /// What is learned is not what is evaluated: the evaluation's loss rises sooner or later, so that the best one is not the last.
    private static let diverging = [
        "dataset.eval=others.jsonl", "training.max_steps=12", "training.eval_steps=1", "output.save_steps=5",
        "output.keep_checkpoints=1",
    ]

    private func diverging() throws -> TinyRun {
        let run = try TinyRun()
        let row =
            #"{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "ZQ zq XJ xj 7"}]}"#
        try run.folder.write(row + "\n" + row, to: "others.jsonl")
        return run
    }

    @Test func theBestEvaluationIsKept() async throws {
        let run = try diverging()
        let result = try await run.train(Self.diverging + ["training.keep_best=true"])
        #expect(result.status == 0, "\(result.errors)")
        let log = try JSON(contentsOf: run.folder.file("run/evaluation.json"))
        let during = (1...12).compactMap { step in log["step \(step)"]?["nll"]?.number.map { (step: step, nll: $0) } }
        let best = try #require(during.min { $0.nll < $1.nll })
        #expect(during.count == 12 && best.step < 12, "\(during)")
        #expect(log["after"]?["nll"]?.number == best.nll)
        // The newest checkpoint stays to go on from, the best one besides.
        #expect(Set(run.names(in: "run/checkpoints")) == ["step-\(best.step)", "step-12"])
        #expect(result.errors.contains("the weights after step \(best.step), the best evaluation, are saved"))
    }

    @Test func evaluationsThatDoNotImproveEndTheRun() async throws {
        let run = try diverging()
        let settings = Self.diverging + ["training.early_stopping_patience=2", "training.max_steps=40"]
        let result = try await run.train(settings)
        #expect(result.status == 0, "\(result.errors)")
        let steps = try run.metrics(of: "run").count
        let log = try JSON(contentsOf: run.folder.file("run/evaluation.json"))
        let losses = (1...steps).compactMap { log["step \($0)"]?["nll"]?.number }
        let best = try #require(losses.indices.min { losses[$0] < losses[$1] }) + 1
        #expect(steps < 40 && steps == best + 2, "\(losses)")
        let adapter = try run.bytes("run/adapter_model.safetensors")
        #expect(try await run.train(settings, flags: ["--resume"]).status == 0)
        #expect(try run.metrics(of: "run").count == steps)
        #expect(try run.bytes("run/adapter_model.safetensors") == adapter)
    }

    /// A warm-up's first step has rate 0: the second one cannot have changed what the first did not.
    @Test func aWarmUpIsNoFault() async throws {
        let result = try await TinyRun().train(["optimizer.schedule=cosine", "optimizer.warmup_steps=3"])
        #expect(result.status == 0 && !result.errors.contains("still zero"), "\(result.errors)")
    }

    /// Every recipe that the program ships, on the tiny model.
    @Test func everyRecipeTrains() async throws {
        let recipes = Locations.files(under: "Recipes", ending: ".yaml")
        #expect(recipes.count >= 2)
        let run = try TinyRun()
        try run.folder.write(PreferenceTests.pairs(24), to: "pairs.jsonl")
        for recipe in recipes {
            let text = try String(contentsOfFile: Locations.inRepository(recipe), encoding: .utf8)
            let (learnsToAnswer, rollsOut) = (text.contains("type: sft\n"), text.contains("rewards:"))
            let pairsRows = text.contains("type: kto\n")
            let settings = [
                "model.path=model", "dataset.train=\(learnsToAnswer ? "rows" : "pairs").jsonl", "dataset.max_length=64",
                "dataset.rows_per_batch=\(pairsRows ? "4" : "null")",
                "dataset.tokens_per_batch=\(rollsOut || pairsRows ? "null" : "128")",
                "training.max_steps=2", "output.path=\(recipe)",
            ]
            let result = try await run.graft(
                ["train", Locations.inRepository(recipe)] + settings.flatMap { ["--set", $0] })
            #expect(result.status == 0, "\(recipe): \(result.errors)")
            #expect(try run.metrics(of: recipe).count == 2)
            #expect(run.exists("\(recipe)/adapter_model.safetensors") || run.exists("\(recipe)/model.safetensors"))
        }
    }
}

extension GraftRun {
    /// Standard output as the one JSON object that it must be.
    var json: JSON {
        get throws {
            #expect(status == 0, "\(errors)")
            #expect(output.hasSuffix("}\n") && output.split(separator: "\n").count == 1, "\(output)")
            return try JSON(parsing: output)
        }
    }
}

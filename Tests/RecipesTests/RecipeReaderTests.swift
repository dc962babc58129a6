import Adapters
import Files
import Recipes
import TestSupport
import Testing

/// The least that a recipe has to say.
let shortest = """
    model: { path: m.gguf }
    dataset: { train: rows.jsonl }
    objective: { type: sft }
    output: { path: out }
    """

@Suite struct RecipeReaderTests {
    private func read(_ text: String, _ overrides: [String] = []) throws -> Recipe {
        try RecipeReader.read(text: text, file: "r.yaml", overrides: overrides)
    }

    @Test func everyValueArrives() throws {
        let recipe = try read(
            """
            model: { path: org/name, precision: f32, weights: nf4, double_quant: false }
            adapter:
              type: lora
              r: 16
              lora_alpha: 32
              lora_dropout: 0.1
              target_modules: [q_proj, v_proj]
              exclude_modules: .*layers\\.0\\..*
              use_rslora: true
              rank_pattern: { k_proj: 4, "layers.1.v_proj": 2 }
              alpha_pattern: { k_proj: 8.5 }
              layers_to_transform: 3
              layers_pattern: [layers]
              bias: none
              init_lora_weights: gaussian
              init_from: start
            dataset:
              train: [a.jsonl, { path: b.jsonl.zst, weight: 0.5 }]
              eval: held-out.jsonl
              format: prompt_completion
              columns: { prompt: question, completion: answer }
              max_length: 256
              packing: true
              tokens_per_batch: 1024
              shuffle: false
              overflow: drop
              documents: blank_line
              cache: rows
            objective: { type: sft, train_on: completion }
            optimizer:
              type: adamw
              learning_rate: 1e-3
              schedule: warmup_stable_decay
              warmup_steps: 0.03
              min_lr_rate: 0.1
              decay_steps: 20
              weight_decay: 0.01
              beta1: 0.8
              beta2: 0.95
              epsilon: 1.0e-6
              max_grad_norm: 0
            training:
              epochs: 3
              max_steps: 100
              gradient_accumulation_steps: 4
              seed: 7
              recompute: layer
              threads: 2
              eval_steps: 10
              early_stopping_patience: 3
              early_stopping_threshold: 0.01
              keep_best: true
            output: { path: out, save_steps: 0, keep_checkpoints: 5 }
            """)

        #expect(recipe.model.path == "org/name" && recipe.model.weights == .nf4 && !recipe.model.doubleQuant)
        guard case .lora(let lora) = recipe.adapter else { throw RunError("no adapter") }
        let configuration = lora.configuration
        #expect(configuration.r == 16 && configuration.loraAlpha == 32 && configuration.loraDropout == 0.1)
        #expect(configuration.useRSLoRA && configuration.initialization == .gaussian)
        #expect(configuration.target.include == .only(.list(["q_proj", "v_proj"])))
        #expect(configuration.target.exclude == .expression(#".*layers\.0\..*"#))
        #expect(configuration.target.layers == [3] && configuration.target.layersPattern == ["layers"])
        #expect(configuration.rankPattern.rows.map(\.key) == ["k_proj", "layers.1.v_proj"])
        #expect(configuration.rankPattern.rows.map(\.value) == [4, 2])
        #expect(configuration.alphaPattern.rows.map(\.value) == [8.5])
        #expect(lora.initFrom == "start" && configuration.bias == .none)
        let dataset = recipe.dataset
        #expect(dataset.train.map(\.path) == ["a.jsonl", "b.jsonl.zst"] && dataset.train.map(\.weight) == [1, 0.5])
        #expect(dataset.eval == .file("held-out.jsonl") && dataset.format == .named("prompt_completion"))
        #expect(dataset.columns.names == ["prompt": "question", "completion": "answer"])
        #expect(
            dataset.maxLength == 256 && dataset.packing && dataset.tokensPerBatch == 1024 && dataset.rowsPerBatch == nil
        )
        #expect(
            !dataset.shuffle && dataset.overflow == .drop && dataset.documents == .blankLine
                && dataset.cache == .folder("rows"))
        #expect(dataset.sources.map(\.weight) == [1, 0.5] && dataset.sources[1].format == "prompt_completion")
        #expect(dataset.evaluationSource?.columns == dataset.columns.names && dataset.batchSize == .tokens(1024))
        guard case .sft(let sft) = recipe.objective else { throw RunError("no objective") }
        #expect(sft.trainOn == .completion)
        let optimizer = recipe.optimizer
        #expect(optimizer.learningRate == 1e-3 && optimizer.schedule == .warmupStableDecay)
        #expect(
            optimizer.warmupSteps == .share(0.03) && optimizer.minLRRate == 0.1 && optimizer.decaySteps == .steps(20))
        #expect(optimizer.weightDecay == 0.01 && optimizer.beta1 == 0.8 && optimizer.beta2 == 0.95)
        #expect(optimizer.epsilon == 1e-6 && optimizer.maxGradNorm == 0)
        let training = recipe.training
        #expect(training.epochs == 3 && training.maxSteps == 100 && training.gradientAccumulationSteps == 4)
        #expect(training.seed == 7 && training.recompute == .layer && training.threads == 2 && training.evalSteps == 10)
        #expect(training.earlyStoppingPatience == 3 && training.earlyStoppingThreshold == 0.01 && training.keepBest)
        #expect(recipe.output.path == "out" && recipe.output.saveSteps == 0 && recipe.output.keepCheckpoints == 5)

        #expect(try read(recipe.resolved) == recipe)
    }

    @Test func defaultsAreFilledIn() throws {
        let recipe = try read(shortest)
        #expect(recipe.adapter == nil && recipe.dataset.rowsPerBatch == 8 && recipe.dataset.eval == nil)
        #expect(recipe.training == TrainingSettings() && recipe.optimizer == OptimizerSettings())
        #expect(try read(shortest, ["adapter={type: lora}"]).adapter == .lora(LoRASettings()))
        #expect(try read(shortest, ["optimizer.schedule=warmup_stable_decay"]).optimizer.decaySteps == .share(0.1))
    }

    @Test func adapterMethodsHaveKeysOfTheirOwn() throws {
        var dora = LoRASettings()
        dora.configuration.useDoRA = true
        #expect(try read(shortest, ["adapter={type: lora, use_dora: true}"]).adapter == .lora(dora))
        var ia3 = IA3Settings()
        #expect(try read(shortest, ["adapter={type: ia3}"]).adapter == .ia3(ia3))
        ia3.targetModules = .only(.list(["v_proj", "up_proj"]))
        ia3.feedforwardModules = .list(["up_proj"])
        ia3.excludeModules = .expression("x")
        ia3.initFrom = "start"
        let recipe = try read(
            shortest,
            [
                "adapter={type: ia3, target_modules: [v_proj, up_proj], feedforward_modules: [up_proj], exclude_modules: x}",
                "adapter.init_from=start",
            ])
        #expect(recipe.adapter == .ia3(ia3))
        #expect(try read(recipe.resolved) == recipe)
        #expect(throws: InputError.self) { try read(shortest, ["adapter={type: ia3, r: 4}"]) }
    }

    @Test func virtualTokensAndBottlenecksHaveKeysOfTheirOwn() throws {
        var prompt = PromptSettings()
        (prompt.virtualTokens, prompt.initialization, prompt.text) = (7, .text, "Be brief.")
        var prefix = PrefixSettings()
        (prefix.configuration.hasProjection, prefix.configuration.hiddenSize) = (true, 32)
        prefix.configuration.startsAtZero = true
        var bottleneck = BottleneckSettings()
        (bottleneck.configuration.placement, bottleneck.configuration.nonlinearity) = (.pfeiffer, .silu)
        (bottleneck.configuration.reductionFactor, bottleneck.configuration.isResidual) = (4, false)
        bottleneck.configuration.layers = [0, 2]
        let cases: [(String, AdapterSettings)] = [
            (
                "{type: prompt, num_virtual_tokens: 7, prompt_tuning_init: TEXT, prompt_tuning_init_text: Be brief.}",
                .prompt(prompt)
            ),
            ("{type: prefix, prefix_projection: true, encoder_hidden_size: 32, init_weights: zero}", .prefix(prefix)),
            (
                "{type: bottleneck, placement: pfeiffer, nonlinearity: silu, reduction_factor: 4, residual: false, layers_to_transform: [0, 2]}",
                .bottleneck(bottleneck)
            ),
        ]
        for (text, settings) in cases {
            let recipe = try read(shortest, ["adapter=\(text)"])
            #expect(recipe.adapter == settings)
            #expect(try read(recipe.resolved) == recipe)
        }
        for text in [
            "{type: prompt, num_virtual_tokens: 0}", "{type: prompt, prompt_tuning_init: TEXT}",
            "{type: prompt, prompt_tuning_init_text: x}", "{type: prefix, init_weights: one}",
            "{type: bottleneck, placement: parallel}", "{type: prefix, r: 4}",
        ] {
            #expect(throws: InputError.self) { try read(shortest, ["adapter=\(text)"]) }
        }
    }

    @Test func sharesOfStepsRoundUp() {
        #expect(StepCount.share(0.03).count(of: 50) == 2)
        #expect(StepCount.steps(7).count(of: 50) == 7)
    }

    @Test(arguments: Locations.files(under: "Recipes", ending: ".yaml"))
    func recipesOfOursAreRead(path: String) throws {
        let recipe = try RecipeReader.read(Locations.inRepository(path))
        #expect(try read(recipe.resolved) == recipe)
    }

    @Test func recipesOfOursAreFound() {
        #expect(Locations.files(under: "Recipes", ending: ".yaml").count >= 2)
    }

    @Test(arguments: [
        "plain", "two words", "3", "1e-3", "true", "null", "~", "- x", "a: b", "a #b", "'quoted'", "\"quoted\"",
        "back\\slash",
        "tab\tnew\nline", "é 漢字 🙂", "*star", "&and", "!tag", "%", "@at", "{}", "[1]", "-", "--", ".5",
        "\u{7}\u{85}\u{2028}\u{FEFF}", "é",
        #".*\.(q|v)_proj$"#,
    ])
    func textsComeBackFromTheResolvedRecipe(text: String) throws {
        var recipe = try read(shortest)
        recipe.model.path = text
        recipe.dataset.train = [DataSource(path: text, weight: 2)]
        var lora = LoRASettings()
        lora.configuration.target.exclude = .list([text])
        recipe.adapter = .lora(lora)
        #expect(try read(recipe.resolved) == recipe)
    }

    @Test func overridesReplaceAndExtend() throws {
        let recipe = try read(
            shortest,
            [
                "optimizer.learning_rate=3e-5", "adapter.type=lora", "adapter.target_modules=[q_proj]",
                "adapter.rank_pattern.model.layers.0.q_proj=2", "dataset.eval=0.25", "output.path=a=b",
                "training.max_steps=5",
                "training.max_steps=null",
            ])
        #expect(recipe.optimizer.learningRate == 3e-5 && recipe.dataset.eval == .share(0.25))
        #expect(recipe.output.path == "a=b" && recipe.training.maxSteps == nil)
        guard case .lora(let lora) = recipe.adapter else { throw RunError("no adapter") }
        #expect(lora.configuration.target.include == .only(.list(["q_proj"])))
        #expect(lora.configuration.rankPattern.rows.map(\.key) == ["model.layers.0.q_proj"])
        #expect(try read(recipe.resolved, ["adapter=null"]).adapter == nil)
    }

    @Test func aMissingFileAndOneThatIsNotTextAreNamed() throws {
        let folder = try TemporaryFolder()
        #expect(throws: InputError.self) { try RecipeReader.read(folder.file("none.yaml")) }
        let path = try folder.write([0x6D, 0xFF, 0xFE], to: "bytes.yaml")
        let error = #expect(throws: InputError.self) { try RecipeReader.read(path) }
        #expect(error?.description == "\(path): the recipe is not UTF-8")
    }
}

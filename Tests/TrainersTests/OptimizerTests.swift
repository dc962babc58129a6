import Files
import Layers
import Tensors
import TestSupport
import Testing
import Trainers

/// Torch's optimizers and transformers' schedules: `Tests/Fixtures/training/optimizers.json` and `schedules.json`.
@Suite("Optimizers and schedules") struct OptimizerTests {
    @Test("ten steps of each optimizer equal torch's", arguments: 0..<5)
    func steps(_ index: Int) throws {
        let golden = try JSON(contentsOf: Locations.fixture("training/optimizers.json"))
        let runs = golden["runs"]?.array ?? []
        #expect(runs.count == 5)
        let run = runs[index]
        let settings = run["settings"] ?? .null
        let optimizer = try optimizer(#require(run["type"]?.string), settings)
        let parameter = Parameter(tensor(golden["start"]), isTrainable: true)
        let gradients = golden["gradients"]?.array ?? []
        let expected = run["parameters"]?.array ?? []
        #expect(gradients.count == 10 && expected.count == 10)
        for (gradient, expected) in zip(gradients, expected) {
            parameter.gradient = tensor(gradient)
            optimizer.step([("weight", parameter)], learningRate: settings["lr"]?.number ?? 0, gradientScale: 1)
            #expect(isClose(parameter.value.values, numbers(expected), relative: 1e-6, absolute: 1e-7))
        }
        let state = run["state"]?.object ?? [:]
        #expect(Set(optimizer.state.keys) == Set(state.keys.map { "weight.\($0)" }))
        for (name, values) in state {
            #expect(
                isClose(optimizer.state["weight.\(name)"]?.values ?? [], numbers(values), relative: 2e-6, absolute: 0))
        }
    }

    @Test("a gradient is scaled before anything else, and a parameter without one stays")
    func scaleAndMissingGradients() {
        for make in [{ AdamW(weightDecay: 0.1) as any Optimizer }, { SGD(momentum: 0.9, weightDecay: 0.1) }] {
            let (scaled, plain, idle) = (parameter([1, 2]), parameter([1, 2]), parameter([1, 2]))
            for (parameter, gradient, scale) in [(scaled, [4, -8] as [Float], 0.25 as Float), (plain, [1, -2], 1)] {
                parameter.gradient = Tensor(gradient, shape: [2])
                make().step([("w", parameter), ("idle", idle)], learningRate: 0.1, gradientScale: scale)
            }
            #expect(scaled.value.values == plain.value.values)
            #expect(scaled.value.values != [1, 2])
            #expect(idle.value.values == [1, 2])
        }
    }

    @Test("weight decay leaves biases and norms alone")
    func decayedNames() {
        for (path, decays) in [
            ("model.layers.0.self_attn.q_proj.weight", true), ("model.layers.0.self_attn.q_proj.bias", false),
            ("model.layers.0.input_layernorm.weight", false), ("model.norm.weight", false),
            ("model.layers.0.mlp.up_proj.default.lora_A.weight", true),
        ] {
            for optimizer in [AdamW(weightDecay: 0.5) as any Optimizer, SGD(weightDecay: 0.5)] {
                let parameter = parameter([1, 2])
                parameter.gradient = .zeros([2])
                optimizer.step([(path, parameter)], learningRate: 0.1, gradientScale: 1)
                #expect((parameter.value.values != [1, 2]) == decays, "\(path)")
            }
        }
    }

    @Test("LoRA+ has PEFT's groups: B and vectors faster, an embedding's adapter at a rate of its own")
    func loraPlusGroups() {
        let rule = LoRAPlus(ratio: 16, embeddingShare: 0.25)
        for (path, shape, factor, decays) in [
            ("model.layers.0.mlp.up_proj.default.lora_A.weight", [2, 3], 1.0, true),
            ("model.layers.0.mlp.up_proj.default.lora_B.weight", [3, 2], 16, true),
            ("model.layers.0.mlp.up_proj.default.lora_magnitude_vector", [3], 16, true),
            ("model.layers.0.self_attn.q_proj.default.bias", [3], 16, false),
            ("model.norm.default.weight", [3], 16, true), ("lm_head.default.weight", [3, 2], 1, true),
            ("model.embed_tokens.default.lora_embedding_A", [2, 3], 0.25, true),
            ("model.embed_tokens.default.lora_embedding_B", [3, 2], 0.25, true),
        ] {
            func moved(decay: Double, gradient: Float) -> Float {
                let parameter = Parameter(Tensor(repeating: 1, shape: shape), isTrainable: true)
                parameter.gradient = Tensor(repeating: gradient, shape: shape)
                SGD(weightDecay: decay, rates: ParameterRates(loraPlus: rule)).step(
                    [(path, parameter)], learningRate: 0.01, gradientScale: 1)
                return 1 - parameter.value.values[0]
            }
            #expect(
                isClose(Double(moved(decay: 0, gradient: 1)), 0.01 * factor, relative: 1e-4, absolute: 0), "\(path)")
            #expect((moved(decay: 0.5, gradient: 0) > 0) == decays, "\(path)")
        }
    }

    @Test("a new head learns at a rate of its own, with LoRA+ too; a head of the model does not")
    func headRate() {
        for rates in [
            ParameterRates(head: 8), ParameterRates(loraPlus: LoRAPlus(ratio: 2, embeddingShare: 1), head: 8),
        ] {
            for (path, factor) in [
                ("score.default.weight", 8.0), ("score.weight", 8), ("v_head.weight", 8),
                ("v_head.bias", 8), ("lm_head.default.weight", 1),
                ("model.layers.0.mlp.up_proj.default.lora_A.weight", 1),
            ] {
                for optimizer in [AdamW(rates: rates) as any Optimizer, SGD(rates: rates)] {
                    let parameter = Parameter(Tensor(repeating: 1, shape: [1, 2]), isTrainable: true)
                    parameter.gradient = Tensor(repeating: 1, shape: [1, 2])
                    optimizer.step([(path, parameter)], learningRate: 0.01, gradientScale: 1)
                    let moved = 1 - Double(parameter.value.values[0])
                    #expect(isClose(moved, 0.01 * factor, relative: 1e-4, absolute: 0), "\(path)")
                }
            }
        }
    }

    @Test("the factor of every step equals transformers'")
    func schedules() throws {
        let schedules = try JSON(contentsOf: Locations.fixture("training/schedules.json"))["schedules"]?.array ?? []
        var compared: [String: Int] = [:]
        for golden in schedules {
            let type = try #require(golden["type"]?.string)
            guard let shape = try shape(type, golden["settings"]?.object.map { JSON.object($0) } ?? [:]) else {
                continue
            }
            let total = try #require(golden["total_steps"]?.integer)
            let schedule = Schedule(shape, warmupSteps: golden["warmup_steps"]?.integer ?? 0, totalSteps: total)
            // Past the last step transformers' cosines rise again; no run gets there.
            let expected = numbers(golden["factors"]).prefix(total + 1)
            #expect(expected.count == total + 1)
            let factors = (0...total).map(schedule.factor)
            #expect(
                distance(factors, expected.map(Double.init), relative: 1e-6, absolute: 1e-7) <= 1, "\(golden.text())")
            compared[type, default: 0] += 1
        }
        #expect(
            compared == [
                "constant": 1, "constant_with_warmup": 2, "linear": 4, "cosine": 3, "cosine_with_min_lr": 2,
                "inverse_sqrt": 2, "warmup_stable_decay": 1,
            ])
    }

    @Test("a number of steps below 1 is a share, rounded up")
    func shares() {
        #expect(Schedule.steps(0, of: 100) == 0)
        #expect(Schedule.steps(0.03, of: 101) == 4)
        #expect(Schedule.steps(1, of: 100) == 1)
        #expect(Schedule.steps(7, of: 100) == 7)
        #expect(Schedule.steps(1e300, of: 100) > 100)
    }

    private func optimizer(_ type: String, _ settings: JSON) -> any Optimizer {
        let decay = settings["weight_decay"]?.number ?? 0
        if type == "sgd" { return SGD(momentum: settings["momentum"]?.number ?? 0, weightDecay: decay) }
        let betas = (settings["betas"]?.array ?? []).compactMap(\.number)
        return AdamW(
            beta1: betas.first ?? 0.9, beta2: betas.last ?? 0.999, epsilon: settings["eps"]?.number ?? 1e-8,
            weightDecay: decay)
    }

    /// Nil for settings that this program does not have: another time scale, shapes of warm-up and decay.
    private func shape(_ type: String, _ settings: JSON) throws -> Schedule.Shape? {
        let keys = settings.object.map { Set($0.keys) } ?? []
        switch type {
        case "constant", "constant_with_warmup": return .constant
        case "linear": return .linear
        case "cosine": return .cosine(minimum: 0)
        case "cosine_with_min_lr": return .cosine(minimum: try #require(settings["min_lr_rate"]?.number))
        case "inverse_sqrt": return keys.isEmpty ? .inverseSquareRoot : nil
        case "warmup_stable_decay":
            guard keys == ["num_decay_steps"] else { return nil }
            return .warmupStableDecay(decaySteps: try #require(settings["num_decay_steps"]?.integer), minimum: 0)
        default: throw InputError("no schedule is called \(type)")
        }
    }

    private func parameter(_ values: [Float]) -> Parameter {
        Parameter(Tensor(values, shape: [values.count]), isTrainable: true)
    }

    private func tensor(_ json: JSON?) -> Tensor {
        let values = numbers(json)
        return Tensor(values, shape: [values.count])
    }

    private func numbers(_ json: JSON?) -> [Float] { (json?.array ?? []).compactMap { $0.number.map(Float.init) } }
}
